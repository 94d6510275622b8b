{{/* The way to the API server, as rules of a NetworkPolicy. */}}
{{- define "kilonova.egress" -}}
# DNS, wherever the cluster has it.
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
# The API server is no pod that a selector could name.
- ports:
    {{- range .Values.networkPolicy.apiServer.ports }}
    - port: {{ int . }}
      protocol: TCP
    {{- end }}
  {{- with .Values.networkPolicy.apiServer.cidrs }}
  to:
    {{- range . }}
    - ipBlock:
        cidr: {{ . | quote }}
    {{- end }}
  {{- end }}
{{- end }}
