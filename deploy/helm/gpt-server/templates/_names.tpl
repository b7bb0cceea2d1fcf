{{- /* Names and labels of all objects. */ -}}

{{- define "gpt-server.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "gpt-server.fullname" -}}
{{- $name := include "gpt-server.name" . }}
{{- $own := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- .Values.fullnameOverride | default $own | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "gpt-server.selector" -}}
app.kubernetes.io/name: {{ include "gpt-server.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "gpt-server.labels" -}}
{{ include "gpt-server.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "gpt-server.edge-selector" -}}
{{ include "gpt-server.selector" . }}
app.kubernetes.io/component: edge
{{- end }}

{{- define "gpt-server.services-selector" -}}
{{ include "gpt-server.selector" . }}
app.kubernetes.io/component: service
{{- end }}

{{- /* Of one group of a model's replicas: (dict "root" $ "group" $group). */ -}}
{{- define "gpt-server.group-selector" -}}
{{ include "gpt-server.services-selector" .root }}
gpt-server/model: {{ .group.key }}
gpt-server/group: {{ .group.group | default "all" }}
{{- end }}

{{- define "gpt-server.service-account" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "gpt-server.fullname" .) "default") }}
{{- end }}

{{- /* (dict "root" $ "component" "edge" or "llm-vllm"). */ -}}
{{- define "gpt-server.image" -}}
{{- with .root.Values.image }}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}-{{ $.component }}:{{ .tag | default $.root.Chart.AppVersion }}
{{- end }}
{{- end }}

{{- /* DNS name of the headless Service that has every replica, ready or not. */ -}}
{{- define "gpt-server.replicas-host" -}}
{{ include "gpt-server.fullname" . }}-services.{{ .Release.Namespace }}.svc
{{- end }}

{{- define "gpt-server.edge-url" -}}
http://{{ include "gpt-server.fullname" . }}-edge:{{ .Values.edge.kubernetes.service.port }}
{{- end }}
