{{/* What every kind carries: who put it there. */}}
{{- define "kilonova-crds.labels" -}}
app.kubernetes.io/name: kilonova
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: crds
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "kilonova-crds-%s" .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Helm removes what it installed, and the kinds would take every server with them: they stay unless that is wanted. */}}
{{- define "kilonova-crds.annotations" -}}
{{- if .Values.keep -}}
helm.sh/resource-policy: keep
{{- else -}}
{}
{{- end -}}
{{- end }}
