{{/* The name under which a member of OVN's databases is reached. Takes (list . 0). */}}
{{- define "kilonova.ovnMember" -}}
{{- $root := index . 0 -}}
{{- $name := printf "%s-ovn" (include "kilonova.fullname" $root) -}}
{{ $name }}-{{ index . 1 }}.{{ $name }}.{{ $root.Release.Namespace }}.svc.{{ $root.Values.ovn.central.clusterDomain }}
{{- end }}

{{/* The names of all members, with commas between them. */}}
{{- define "kilonova.ovnMembers" -}}
{{- $members := list -}}
{{- range $number := until (int .Values.ovn.central.replicas) -}}
{{- $members = append $members (include "kilonova.ovnMember" (list $ $number)) -}}
{{- end -}}
{{- join "," $members -}}
{{- end }}

{{/* The same as endpoints of the northbound database. */}}
{{- define "kilonova.ovnNorthbound" -}}
{{- $members := list -}}
{{- range $number := until (int .Values.ovn.central.replicas) -}}
{{- $members = append $members (printf "ssl:%s:6641" (include "kilonova.ovnMember" (list $ $number))) -}}
{{- end -}}
{{- join "," $members -}}
{{- end }}

{{/* Whether the operator makes certificates: "true" or nothing. */}}
{{- define "kilonova.ovnPki" -}}
{{- if and (not .Values.ovn.certificateSecret) (or .Values.ovn.central.enabled .Values.ovn.southbound) -}}
true
{{- end -}}
{{- end }}

{{/* What the operator is told of OVN, as its environment. */}}
{{- define "kilonova.ovnEnvironment" -}}
{{- $name := printf "%s-ovn" (include "kilonova.fullname" .) -}}
{{- $place := printf "%s.svc" .Release.Namespace -}}
{{- $domain := .Values.ovn.central.clusterDomain -}}
{{- if .Values.ovn.central.enabled }}
{{- if not .Values.operator.settings.ovnNorthbound }}
- name: KILONOVA_OVN_NORTHBOUND
  value: {{ include "kilonova.ovnNorthbound" . }}
{{- end }}
- name: KILONOVA_OVN_DATABASE_NAMES
  value: {{ printf "*.%s.%s.%s,%s-southbound.%s,%s-southbound.%s.%s" $name $place $domain $name $place $name $place $domain | quote }}
{{- end }}
{{- if include "kilonova.ovnPki" . }}
- name: KILONOVA_OVN_PKI
  value: "true"
{{- end }}
{{- if or .Values.ovn.central.enabled .Values.ovn.southbound }}
- name: KILONOVA_OVN_SOUTHBOUND
  value: {{ .Values.ovn.southbound | default (printf "ssl:%s-southbound.%s.%s:6642" $name $place $domain) }}
{{- end }}
{{- if or .Values.ovn.certificateSecret (include "kilonova.ovnPki" .) }}
- name: KILONOVA_OVN_CERTIFICATES
  value: /run/kilonova/ovn
{{- end }}
{{- end }}
