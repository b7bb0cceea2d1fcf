{{- /* Contents of the settings files: the same format that the launcher writes. */ -}}

{{- /* Of a service: (dict "root" $ "group" $group). Its name, `replica`, is its pod's: GPT_SERVER_REPLICA. */ -}}
{{- define "gpt-server.service-settings" -}}
{{- $values := .root.Values }}
{{- $model := pick .group.model "engine" "model" "names" "gpus" "limits" "adapters" "adapter_folder" "engine_args" }}
{{- if .group.kubernetes.download }}{{ $_ := set $model "model" (printf "/models/%s" .group.key) }}{{ end }}
{{- $grpc := dict "host" "0.0.0.0" "port" 50051 }}
{{- if $values.tls.enabled }}
  {{- $_ := set $grpc "tls" (dict "cert_file" "/tls/tls.crt" "key_file" "/tls/tls.key" "client_ca_file" "/tls/ca.crt") }}
{{- end }}
{{- if $values.secrets.serviceTokens }}{{ $_ := set $grpc "tokens_file" "/secrets/service-tokens/tokens" }}{{ end }}
{{- $settings := dict "models" (dict .group.key $model) "grpc" $grpc }}
{{- mergeOverwrite $settings (include "gpt-server.common-settings" .root | fromJson) | toYaml }}
{{- end }}

{{- define "gpt-server.edge-settings" -}}
{{- $settings := pick .Values.edge "key_limits" "routing" "allow_unauthenticated" "allow_adapter_changes" "cors_origins" "max_body_bytes" "request_timeout_s" "sse_keep_alive_s" "media" "files" "moderation" | deepCopy }}
{{- $_ := set $settings "host" "0.0.0.0" }}
{{- $_ := set $settings "port" 8000 }}
{{- $files := $settings.files | default dict }}
{{- if $files.s3 }}
  {{- if .Values.secrets.bucketKey.name }}
    {{- $_ := set $files.s3 "secret_access_key_file" (printf "/secrets/bucket-key/%s" .Values.secrets.bucketKey.key) }}
  {{- end }}
{{- else }}
  {{- $files = mergeOverwrite (dict "folder" (not .Values.edge.kubernetes.filesClaim | ternary "/cache/files" "/files")) $files }}
{{- end }}
{{- $_ := set $settings "files" $files }}
{{- if .Values.secrets.apiKeys.name }}
  {{- $_ := set $settings "api_keys_file" (printf "/secrets/api-keys/%s" .Values.secrets.apiKeys.key) }}
{{- end }}
{{- $discovery := dict "file" "/config/models.json" }}
{{- if not .Values.consul }}
  {{- $_ := set $discovery "dns" (list (printf "%s:50051" (include "gpt-server.replicas-host" .))) }}
{{- end }}
{{- $_ := set $settings "discovery" $discovery }}
{{- $channel := dict }}
{{- if .Values.tls.enabled }}
  {{- $files := dict "ca_file" "/tls/ca.crt" "cert_file" "/tls/tls.crt" "key_file" "/tls/tls.key" }}
  {{- $_ := set $channel "tls" (set $files "server_name" (include "gpt-server.replicas-host" .)) }}
{{- end }}
{{- if .Values.secrets.serviceTokens }}{{ $_ := set $channel "token_file" "/secrets/service-tokens/token" }}{{ end }}
{{- with $channel }}{{ $_ := set $settings "channel" . }}{{ end }}
{{- $common := include "gpt-server.common-settings" . | fromJson }}
{{- with $common.consul }}{{ $_ := set $common "consul" (omit . "advertise_host" "check") }}{{ end }}
{{- mergeOverwrite $settings $common | toYaml }}
{{- end }}

{{- define "gpt-server.common-settings" -}}
{{- $settings := dict "admin" (dict "host" "0.0.0.0" "port" 9090) "log" .Values.log "drain_timeout_s" .Values.drain_timeout_s }}
{{- with .Values.tracing }}{{ $_ := set $settings "tracing" . }}{{ end }}
{{- if .Values.consul }}
  {{- $consul := deepCopy .Values.consul }}
  {{- if .Values.secrets.consulToken.name }}
    {{- $_ := set $consul "token_file" (printf "/secrets/consul-token/%s" .Values.secrets.consulToken.key) }}
  {{- end }}
  {{- with .Values.secrets.consulTls }}{{ if .name }}
    {{- $tls := dict "ca_file" "/secrets/consul-tls/ca.crt" }}
    {{- if .clientCertificate }}
      {{- $_ := set $tls "cert_file" "/secrets/consul-tls/tls.crt" }}
      {{- $_ := set $tls "key_file" "/secrets/consul-tls/tls.key" }}
    {{- end }}
    {{- $_ := set $consul "tls" $tls }}
  {{- end }}{{ end }}
  {{- $_ := set $settings "consul" $consul }}
{{- end }}
{{- toJson $settings }}
{{- end }}
