{{/* The chart's name, as labels have it. */}}
{{- define "kilonova.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What the names of all objects begin with. Room is left for the longest ending. */}}
{{- define "kilonova.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" }}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{/* What all objects carry. Merged, since a label that is said twice is refused by whatever reads YAML strictly. */}}
{{- define "kilonova.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" (include "kilonova.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_")
-}}
{{- merge $own .Values.commonLabels | toYaml }}
{{- end }}

{{/* What all objects of one role carry. Takes (list . "operator"). */}}
{{- define "kilonova.roleLabels" -}}
{{- $labels := include "kilonova.labels" (index . 0) | fromYaml }}
{{- merge (dict "app.kubernetes.io/component" (index . 1)) $labels | toYaml }}
{{- end }}

{{/*
By what the pods of one role are found. Takes (list . "operator"). Selectors of a Deployment cannot be changed: nothing
may be added here, and nothing of it may depend on a version.
*/}}
{{- define "kilonova.selector" -}}
app.kubernetes.io/name: {{ include "kilonova.name" (index . 0) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* The image; a digest says more than a tag. */}}
{{- define "kilonova.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What pulls the image, for every container. */}}
{{- define "kilonova.container" -}}
image: {{ include "kilonova.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{/* A role's settings as its environment. Takes (list . "operator"). */}}
{{- define "kilonova.environment" -}}
{{- $values := index (index . 0).Values (index . 1) -}}
{{- $environment := list -}}
{{- range $key, $value := $values.settings -}}
{{- /* Helm reads whole numbers as broken ones. */ -}}
{{- $text := ternary (int64 $value | toString) (toString $value) (kindIs "float64" $value) -}}
{{- /* What is not said must not hide what the chart says. */ -}}
{{- if ne $text "" -}}
{{- $environment = append $environment (dict "name" (snakecase $key | upper | printf "KILONOVA_%s") "value" $text) -}}
{{- end -}}
{{- end -}}
{{- concat $environment $values.extraEnv | toYaml }}
{{- end }}

{{/* The priority class of a role: the chart's own, unless another is named. Takes (list . "operator"). */}}
{{- define "kilonova.priorityClass" -}}
{{- $values := index (index . 0).Values (index . 1) -}}
{{- $values.priorityClassName | default (printf "%s-%s" (include "kilonova.fullname" (index . 0)) (index . 1)) }}
{{- end }}

{{/*
Labels and annotations of the pods of one role. Takes (list . "operator"). Nothing here may change with the chart's
version alone: it would restart what need not be restarted.
*/}}
{{- define "kilonova.podMetadata" -}}
{{- $values := index (index . 0).Values (index . 1) -}}
labels: {{- merge (include "kilonova.selector" . | fromYaml) $values.podLabels (index . 0).Values.commonLabels | toYaml | nindent 2 }}
{{- with $values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The Pod Security profile "restricted", for all but the agent: the pod's part. */}}
{{- define "kilonova.restrictedPod" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* The Pod Security profile "restricted", for all but the agent: the container's part. */}}
{{- define "kilonova.restrictedContainer" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities:
  drop: [ALL]
{{- end }}

{{/* The roles that have pods, accounts and metrics, as JSON: a word for each, with its port. */}}
{{- define "kilonova.roles" -}}
{{- $roles := dict "operator" 8080 "agent" (int .Values.agent.port) -}}
{{- if .Values.metadata.enabled -}}
{{- $_ := set $roles "metadata" (int .Values.metadata.port) -}}
{{- end -}}
{{- $roles | toJson }}
{{- end }}
