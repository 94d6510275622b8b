{{/* A pod's spec that asks the cluster, as `kilonova check` does. Takes (list . "--argument"). */}}
{{- define "kilonova.check" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ include "kilonova.fullname" $root }}-check
automountServiceAccountToken: true
enableServiceLinks: false
restartPolicy: Never
securityContext: {{- include "kilonova.restrictedPod" $root | nindent 2 }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.operator.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.operator.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: check
    {{- include "kilonova.container" $root | nindent 4 }}
    args: {{- prepend (rest .) "check" | toYaml | nindent 6 }}
    env:
      - name: KILONOVA_NAMESPACE
        valueFrom:
          fieldRef:
            fieldPath: metadata.namespace
      {{- with $root.Values.operator.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    resources:
      requests: {cpu: 10m, memory: 32Mi, ephemeral-storage: 4Mi}
      limits: {memory: 256Mi, ephemeral-storage: 16Mi}
    securityContext: {{- include "kilonova.restrictedContainer" $root | nindent 6 }}
{{- end }}

{{/* Labels of what the check needs. */}}
{{- define "kilonova.checkLabels" -}}
{{ include "kilonova.roleLabels" (list . "check") }}
{{- end }}

