{{- /*
One entry for each Deployment of a model, as a JSON list: name (of the Deployment), key (of the model), group (empty if
there is but one), model and kubernetes (with the defaults of defaults.json), replicas.
*/ -}}
{{- define "gpt-server.groups" -}}
{{- $defaults := .Files.Get "defaults.json" | fromJson }}
{{- $fullname := include "gpt-server.fullname" . }}
{{- $all := list }}
{{- range $key, $given := .Values.models }}
  {{- $model := mergeOverwrite (deepCopy $defaults.model) (deepCopy $given) }}
  {{- $kubernetes := $model.kubernetes }}
  {{- with $kubernetes.autoscaling }}
    {{- $scaling := mergeOverwrite (deepCopy $defaults.autoscaling) . }}
    {{- range $kind := list "hpa" "keda" }}
      {{- if hasKey $scaling $kind }}{{ $_ := set $scaling $kind (mergeOverwrite (deepCopy (get $defaults $kind)) (get $scaling $kind)) }}{{ end }}
    {{- end }}
    {{- $_ := set $kubernetes "autoscaling" $scaling }}
  {{- end }}
  {{- if $kubernetes.groups }}
    {{- range $name, $own := $kubernetes.groups }}
      {{- $merged := mergeOverwrite (deepCopy (omit $kubernetes "groups" "autoscaling")) (deepCopy $own) }}
      {{- $replicas := dig "replicas" $defaults.group.replicas $own }}
      {{- $all = append $all (dict "name" (printf "%s-%s-%s" $fullname $key $name) "key" $key "group" $name "model" $model "kubernetes" $merged "replicas" $replicas) }}
    {{- end }}
  {{- else }}
    {{- $all = append $all (dict "name" (printf "%s-%s" $fullname $key) "key" $key "group" "" "model" $model "kubernetes" $kubernetes "replicas" $model.replicas) }}
  {{- end }}
{{- end }}
{{- toJson $all }}
{{- end }}

{{- /* Names that a model is asked for by, as `served_names` of the launcher has them: (dict "key" … "model" …). */ -}}
{{- define "gpt-server.served-names" -}}
{{- $names := .model.names | default (list .key) }}
{{- $all := $names }}
{{- range $adapter, $_ := .model.adapters }}
  {{- $all = concat $all (list (printf "%s:%s" (first $names) $adapter) $adapter) }}
{{- end }}
{{- toJson $all }}
{{- end }}

{{- /* All names that callers may expect, now or soon: of every model that is not switched off. */ -}}
{{- define "gpt-server.expected-models" -}}
{{- $all := list }}
{{- range include "gpt-server.groups" . | fromJsonArray }}
  {{- if or .replicas .kubernetes.autoscaling }}
    {{- $all = concat $all (include "gpt-server.served-names" . | fromJsonArray) }}
  {{- end }}
{{- end }}
{{- $all | uniq | sortAlpha | toJson }}
{{- end }}
