{{- /* What the schema cannot say; each message begins with the path of the key. */ -}}
{{- define "gpt-server.checks" -}}
{{- $keyed := or .Values.secrets.apiKeys.name .Values.edge.allow_unauthenticated }}
{{- if not $keyed }}
  {{- fail "secrets.apiKeys.name: name a Secret with API keys, or say edge.allow_unauthenticated: true" }}
{{- end }}
{{- if .Values.edge.api_keys_file }}
  {{- fail "edge.api_keys_file: a file of one machine; put the keys into a Secret and name it in secrets.apiKeys" }}
{{- end }}
{{- if and .Values.tls.enabled (not .Values.tls.issuer) (not (and .Values.tls.serviceSecret .Values.tls.edgeSecret)) }}
  {{- fail "tls: name serviceSecret and edgeSecret, or an issuer of cert-manager" }}
{{- end }}
{{- if and .Values.edge.kubernetes.ingress.enabled (not .Values.edge.kubernetes.ingress.host) }}
  {{- fail "edge.kubernetes.ingress.host: is required" }}
{{- end }}
{{- if and .Values.edge.kubernetes.gateway.enabled (not .Values.edge.kubernetes.gateway.parentRefs) }}
  {{- fail "edge.kubernetes.gateway.parentRefs: name the Gateway that the route belongs to" }}
{{- end }}
{{- $fullname := include "gpt-server.fullname" . }}
{{- $names := dict (printf "%s-edge" $fullname) "the edge" (printf "%s-edge-metrics" $fullname) "the edge" (printf "%s-services" $fullname) "all services" (printf "%s-models" $fullname) "the edge" (printf "%s-test" $fullname) "the test" (printf "%s-dashboard" $fullname) "the dashboard" }}
{{- range include "gpt-server.groups" . | fromJsonArray }}
  {{- if gt (len .name) 63 }}
    {{- fail (printf "models.%s: the name %s of its objects is longer than 63 characters; shorten it, or set fullnameOverride" .key .name) }}
  {{- end }}
  {{- if hasKey $names .name }}
    {{- fail (printf "models.%s: the name %s is that of %s" .key .name (get $names .name)) }}
  {{- end }}
  {{- $_ := set $names .name (printf "models.%s" .key) }}
  {{- include "gpt-server.check-group" . }}
{{- end }}
{{- $served := dict }}
{{- range $key, $model := .Values.models }}
  {{- range include "gpt-server.served-names" (dict "key" $key "model" $model) | fromJsonArray }}
    {{- if hasKey $served . }}
      {{- fail (printf "models.%s.names: the name %q is taken by %s" $key . (get $served .)) }}
    {{- end }}
    {{- $_ := set $served . $key }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "gpt-server.check-group" -}}
{{- $where := printf "models.%s" .key }}
{{- $model := .model.model }}
{{- if .kubernetes.download }}
  {{- if or (gt (len (splitList "/" $model)) 2) (hasPrefix "." $model) (hasPrefix "/" $model) }}
    {{- fail (printf "%s.kubernetes.download: %q is no hub id, such as org/name" $where $model) }}
  {{- end }}
{{- else if and (not (hasPrefix "/" $model)) (or (gt (len (splitList "/" $model)) 2) (hasPrefix "." $model) (hasPrefix "~" $model)) }}
  {{- fail (printf "%s.model: %q is a folder of one machine; in a cluster it is a hub id, or an absolute path such as /models/name" $where $model) }}
{{- end }}
{{- $volume := .kubernetes.modelVolume }}
{{- if gt (len (pick $volume "claim" "create" "hostPath")) 1 }}
  {{- fail (printf "%s.kubernetes.modelVolume: one of claim, create and hostPath" $where) }}
{{- end }}
{{- with .kubernetes.autoscaling }}
  {{- if eq (not .hpa) (not .keda) }}{{ fail (printf "%s.kubernetes.autoscaling: one of hpa and keda" $where) }}{{ end }}
  {{- if and .hpa (lt (int .minReplicas) 1) }}
    {{- fail (printf "%s.kubernetes.autoscaling.minReplicas: must be at least 1 with hpa; keda can scale to zero" $where) }}
  {{- end }}
  {{- if gt (int .minReplicas) (int .maxReplicas) }}
    {{- fail (printf "%s.kubernetes.autoscaling.minReplicas: must not be above maxReplicas" $where) }}
  {{- end }}
{{- end }}
{{- end }}
