{{- define "mlapi.defaults" -}}
{{- if .Values.apiKeys.enabled }}
MLAPI_DEADLINE_S: '10'
MLAPI_DRAIN_S: '5'
MLAPI_KEYS_FILE: /etc/mlapi/keys/keys.json
MLAPI_LOG_LEVEL: info
MLAPI_REDIS_URL: redis://redis-service:6379/0
{{- else }}
MLAPI_DEADLINE_S: '10'
MLAPI_DRAIN_S: '5'
MLAPI_LOG_LEVEL: info
MLAPI_REDIS_URL: redis://redis-service:6379/0
{{- end }}
{{- end -}}

{{- define "mlapi.kustomizeSuffix" -}}
{{- if .Values.apiKeys.enabled }}
t8fhc4b9ht
{{- else }}
kthg6b9cd7
{{- end }}
{{- end -}}
