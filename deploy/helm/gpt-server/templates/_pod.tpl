{{- /* What all pods have. The security contexts pass the `restricted` level of Pod Security. */ -}}

{{- define "gpt-server.pod-security" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "gpt-server.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* (dict "root" $ "seconds" startup) */ -}}
{{- define "gpt-server.probes" -}}
startupProbe:
  httpGet: {path: {{ .startup }}, port: admin}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: {{ div (int .seconds) 5 }}
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{- /* Others need a moment to learn that a pod goes; SIGTERM comes after it. */ -}}
{{- define "gpt-server.lifecycle" -}}
preStop:
  exec:
    command: [sleep, {{ .Values.pre_stop_s | toString | quote }}]
{{- end }}

{{- /* preStop, then the drain, then time to close an engine: more than a process takes that obeys its settings. */ -}}
{{- define "gpt-server.grace-s" -}}
{{ add .Values.pre_stop_s (ceil .Values.drain_timeout_s | int) 15 }}
{{- end }}

{{- /* Everything that libraries write lies in /cache. */ -}}
{{- define "gpt-server.cache-env" -}}
- {name: HOME, value: /cache}
- {name: TMPDIR, value: /cache}
- {name: XDG_CACHE_HOME, value: /cache}
{{- end }}

{{- /* Secrets as files. TLS is mounted by whoever knows which pair it is. */ -}}
{{- define "gpt-server.secret-mounts" -}}
{{- with .Values.secrets }}
{{- if .serviceTokens }}
- {name: service-tokens, mountPath: /secrets/service-tokens, readOnly: true}
{{- end }}
{{- if and $.Values.consul .consulToken.name }}
- {name: consul-token, mountPath: /secrets/consul-token, readOnly: true}
{{- end }}
{{- if and $.Values.consul .consulTls.name }}
- {name: consul-tls, mountPath: /secrets/consul-tls, readOnly: true}
{{- end }}
{{- end }}
{{- if .Values.tls.enabled }}
- {name: tls, mountPath: /tls, readOnly: true}
{{- end }}
{{- end }}

{{- /* (dict "root" $ "party" "service" or "edge"): a service is not told what edges show, nor the other way round. */ -}}
{{- define "gpt-server.secret-volumes" -}}
{{- $values := .root.Values }}
{{- with $values.secrets }}
{{- if .serviceTokens }}
{{- $item := eq $.party "edge" | ternary "token" "tokens" }}
- name: service-tokens
  secret: {secretName: {{ .serviceTokens }}, items: [{key: {{ $item }}, path: {{ $item }}}]}
{{- end }}
{{- if and $values.consul .consulToken.name }}
- {name: consul-token, secret: {secretName: {{ .consulToken.name }}}}
{{- end }}
{{- if and $values.consul .consulTls.name }}
- {name: consul-tls, secret: {secretName: {{ .consulTls.name }}}}
{{- end }}
{{- end }}
{{- if $values.tls.enabled }}
- {name: tls, secret: {secretName: {{ include "gpt-server.tls-secret" . }}}}
{{- end }}
{{- end }}

{{- define "gpt-server.tls-secret" -}}
{{- get .root.Values.tls (printf "%sSecret" .party) | default (printf "%s-%s-tls" (include "gpt-server.fullname" .root) .party) }}
{{- end }}

{{- /* (dict "root" $ "kubernetes" $section "selector" …): where pods run. */ -}}
{{- define "gpt-server.placement" -}}
{{- with .kubernetes.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .kubernetes.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- .selector | nindent 8 }}
{{- end }}
