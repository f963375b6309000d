{{- define "mlapi.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end -}}

{{- define "mlapi.config" -}}
{{- $settings := include "mlapi.defaults" . | fromYaml -}}
{{- range $name, $value := .Values.config -}}
{{- $_ := set $settings $name (toString $value) -}}
{{- end -}}
{{ toYaml $settings }}
{{- end -}}

{{- /* Another name for other settings: pods start anew when a setting changes. Without any it is kustomize's. */ -}}
{{- define "mlapi.configName" -}}
{{- if .Values.config -}}
mlapi-config-{{ include "mlapi.config" . | sha256sum | trunc 10 }}
{{- else -}}
mlapi-config-{{ include "mlapi.kustomizeSuffix" . | trim }}
{{- end -}}
{{- end -}}
