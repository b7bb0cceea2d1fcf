{{- /* Parts of a model's pod; each takes (dict "root" $ "group" $group), or the group alone where that is enough. */ -}}

{{- define "gpt-server.model-image" -}}
{{- $component := printf "%s-%s" .group.model.service .group.model.engine }}
{{- .group.kubernetes.image | default (include "gpt-server.image" (dict "root" .root "component" $component)) | quote }}
{{- end }}

{{- define "gpt-server.strategy" -}}
{{- $scarce := dict "type" "RollingUpdate" "rollingUpdate" (dict "maxSurge" 0 "maxUnavailable" 1) }}
{{- $plenty := dict "type" "RollingUpdate" "rollingUpdate" (dict "maxSurge" 1 "maxUnavailable" 0) }}
{{- .kubernetes.strategy | default (gt (int .model.gpus) 0 | ternary $scarce $plenty) | toYaml }}
{{- end }}

{{- define "gpt-server.model-resources" -}}
{{- $resources := deepCopy .kubernetes.resources }}
{{- if .model.gpus }}
  {{- $_ := set $resources "limits" (set ($resources.limits | default dict) .kubernetes.gpuResource .model.gpus) }}
{{- end }}
{{- toYaml $resources }}
{{- end }}

{{- define "gpt-server.hub-env" -}}
{{- with .Values.secrets.hubToken }}
{{- if .name }}
- name: HF_TOKEN
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}
{{- end }}
- {name: HF_HOME, value: {{ .Values.hub.home | default "/cache/huggingface" }}}
{{- end }}

{{- define "gpt-server.model-env" -}}
- name: GPT_SERVER_REPLICA
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{ include "gpt-server.cache-env" . }}
{{ include "gpt-server.hub-env" .root }}
{{- if .root.Values.hub.offline }}
- {name: HF_HUB_OFFLINE, value: "1"}
{{- end }}
- {name: GRPC_ENABLE_FORK_SUPPORT, value: "0"}
{{- if not .group.model.gpus }}
# No GPU, also where the node shows all of them; and no more threads than there are cores.
- {name: CUDA_VISIBLE_DEVICES, value: ""}
- name: OMP_NUM_THREADS
  valueFrom: {resourceFieldRef: {resource: limits.cpu}}
- {name: OMP_WAIT_POLICY, value: PASSIVE}
{{- end }}
{{- with .group.kubernetes.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* What is there already is not downloaded again. */ -}}
{{- define "gpt-server.download" -}}
- name: download
  image: {{ include "gpt-server.model-image" . }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command:
    - python
    - -c
    - |
      import sys
      from huggingface_hub import snapshot_download
      snapshot_download(sys.argv[1], local_dir=sys.argv[2])
    - {{ .group.model.model | quote }}
    - /models/{{ .group.key }}
  env: {{- include "gpt-server.cache-env" . | nindent 4 }}
    {{- include "gpt-server.hub-env" .root | nindent 4 }}
  resources: {requests: {cpu: 100m, memory: 256Mi}}
  securityContext: {{- include "gpt-server.container-security" . | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: /models}
    - {name: cache, mountPath: /cache}
{{- end }}

{{- define "gpt-server.model-mounts" -}}
{{- if or .kubernetes.modelVolume .kubernetes.download }}
- {name: models, mountPath: /models, readOnly: true}
{{- end }}
{{- if include "gpt-server.shm-size" . }}
- {name: shm, mountPath: /dev/shm}
{{- end }}
{{- end }}

{{- define "gpt-server.shm-size" -}}
{{- .kubernetes.shmSize | default (gt (int .model.gpus) 0 | ternary "2Gi" "") }}
{{- end }}

{{- define "gpt-server.model-volumes" -}}
{{- $kubernetes := .group.kubernetes }}
{{- with $kubernetes.modelVolume }}
{{- if .hostPath }}
- {name: models, hostPath: {path: {{ .hostPath }}, type: Directory}}
{{- else }}
{{- $created := printf "%s-%s" (include "gpt-server.fullname" $.root) $.group.key }}
- {name: models, persistentVolumeClaim: {claimName: {{ .claim | default $created }}}}
{{- end }}
{{- else }}
{{- if $kubernetes.download }}
- {name: models, emptyDir: {}}
{{- end }}
{{- end }}
{{- with include "gpt-server.shm-size" .group }}
- {name: shm, emptyDir: {medium: Memory, sizeLimit: {{ . }}}}
{{- end }}
{{- end }}
