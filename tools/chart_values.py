"""What the Helm chart's values may say: the user's file of `gpt-server up`, and what matters in a cluster only.

`values.schema.json` and the table in deploy/values.md are made from these classes by `make docs`, so that the file and
the chart cannot drift apart. Keys of ours are written as in that file, `snake_case`; those for Kubernetes as there,
`camelCase`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from gpt_server.edge.config import EdgeSettings
from gpt_server.launcher.config import DnsLabel, EdgeConfig, LogConfig, ModelConfig, StackConfig

Labels = dict[str, str]
Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?([eE][0-9]+|m|[kKMGTPE]i?)?$")]
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/\S*$")]
Replicas = Annotated[int, Field(ge=0, le=1024)]
IntOrPercent = Annotated[int, Field(ge=0)] | Annotated[str, StringConstraints(pattern=r"^[0-9]+%$")]


class Section(BaseModel):
    """A part of the values: unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class ResourcesValues(Section):
    """CPU and memory of a container. GPUs are `gpus`."""

    requests: dict[str, Quantity | float] = Field(default_factory=dict, description="What it is sure to have.")
    limits: dict[str, Quantity | float] = Field(default_factory=dict, description="What it can have at most.")


class PlacementValues(Section):
    """Where pods run, and what they are given; Kubernetes' own forms."""

    node_selector: Labels = Field(default_factory=dict, description="Labels that a node must have.")
    tolerations: list[dict[str, Any]] = Field(
        default_factory=list, description="Taints that do not keep pods off; that of `gpuResource` never does."
    )
    affinity: dict[str, Any] = Field(default_factory=dict, description="Further rules about nodes and pods.")
    resources: ResourcesValues = Field(default=ResourcesValues(), description="CPU and memory.")


class DisruptionValues(Section):
    """A PodDisruptionBudget: evictions, such as those of a drained node, never leave fewer pods."""

    enabled: bool = Field(default=True, description="Whether there is one.")
    min_available: IntOrPercent = Field(default=1, description="Pods that stay, a number or `50%`.")


class NewClaimValues(Section):
    """A PersistentVolumeClaim that the chart makes; it stays when the release is uninstalled."""

    size: Quantity = Field(description="How much, such as `200Gi`.")
    storage_class_name: str | None = Field(default=None, description="Storage class. Unset: the cluster's default.")
    access_modes: list[Literal["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]] = Field(
        default=["ReadWriteMany"], description="Replicas on several nodes share it: `ReadWriteMany`."
    )


class ModelVolumeValues(Section):
    """What is mounted at /models, read-only: at most one of these. None: no volume, unless `download`."""

    claim: str | None = Field(default=None, description="Name of a PersistentVolumeClaim that exists.")
    create: NewClaimValues | None = Field(default=None, description="A claim that the chart makes.")
    host_path: AbsolutePath | None = Field(
        default=None, description="Folder of the node. Not allowed at the `restricted` and `baseline` levels."
    )


class HpaValues(Section):
    """A HorizontalPodAutoscaler by the pods' own metrics, which an adapter must serve to Kubernetes."""

    running_per_replica: float = Field(
        default=16, gt=0, description="Requests that hold a slot, for each replica (gpt_server_running_requests)."
    )
    queued_per_replica: float = Field(
        default=2, gt=0, description="Requests that wait for one, for each replica (gpt_server_queued_requests)."
    )


class KedaValues(Section):
    """A ScaledObject of KEDA, by queries to Prometheus; needed for scaling to zero."""

    server_address: str = Field(pattern=r"^https?://\S+$", description="Prometheus, as `http://host:port`.")
    requests_per_replica: float = Field(
        default=16, gt=0, description="Requests running and waiting, for each replica, above which one is added."
    )
    gpu_utilization: float | None = Field(
        default=None, gt=0, le=100, description="GPU load in percent (DCGM's exporter) to scale by too. Unset: not."
    )
    cooldown_s: int = Field(
        default=600, ge=0, alias="cooldown_s", description="Time without a request until it goes to zero, in seconds."
    )


class AutoscalingValues(Section):
    """How many replicas there are is decided by load; one of `hpa` and `keda`."""

    min_replicas: Replicas = Field(default=1, description="Fewest replicas; 0 only with `keda`.")
    max_replicas: Annotated[int, Field(ge=1, le=1024)] = Field(description="Most replicas.")
    hpa: HpaValues | None = Field(default=None, description="A HorizontalPodAutoscaler.")
    keda: KedaValues | None = Field(default=None, description="A ScaledObject of KEDA.")


class GroupValues(PlacementValues):
    """Replicas of a model with a place of their own: a Deployment. What is unset is as the model says."""

    replicas: Replicas = Field(default=1, description="How many.")


class ModelKubernetesValues(PlacementValues):
    """A model's Deployment."""

    image: str | None = Field(default=None, description="Whole name of an image, instead of that of its engine.")
    gpu_resource: str = Field(default="nvidia.com/gpu", description="What `gpus` counts.")
    model_volume: ModelVolumeValues = Field(default=ModelVolumeValues(), description="What is mounted at /models.")
    download: bool = Field(
        default=False,
        description="An init container downloads `model`, a hub id, into the model volume (or one that lives as long "
        "as the pod), and the model is served from there. Otherwise the engine downloads it into /cache.",
    )
    cache_size: Quantity | None = Field(
        default=None, description="Limit of /cache, the only writable folder. Unset: none."
    )
    shm_size: Quantity | None = Field(
        default=None, description="Size of /dev/shm, in memory. Unset: `2Gi` with GPUs, none without."
    )
    env: list[dict[str, Any]] = Field(default_factory=list, description="Further environment variables.")
    pod_annotations: Labels = Field(default_factory=dict, description="Further annotations of pods.")
    pod_labels: Labels = Field(default_factory=dict, description="Further labels of pods.")
    runtime_class_name: str | None = Field(default=None, description="RuntimeClass, such as `nvidia`.")
    priority_class_name: str | None = Field(default=None, description="PriorityClass.")
    startup_s: int = Field(
        default=1800, ge=60, alias="startup_s", description="How long a model may take to load, in seconds."
    )
    strategy: dict[str, Any] = Field(
        default_factory=dict,
        description="How pods are replaced. Unset: with GPUs one goes before the next comes, since GPUs are scarce; "
        "without, the next comes first.",
    )
    pod_disruption_budget: DisruptionValues = Field(
        default=DisruptionValues(), description="What evictions leave of the model."
    )
    autoscaling: AutoscalingValues | None = Field(
        default=None, description="Replicas by load, instead of `replicas`. Unset: none."
    )
    groups: dict[DnsLabel, GroupValues] = Field(
        default_factory=dict, description="Replicas in several places, instead of `replicas`."
    )


class ModelValues(ModelConfig):
    """One model: a Deployment."""

    kubernetes: ModelKubernetesValues = Field(  # type: ignore[assignment]
        default=ModelKubernetesValues(), description="What matters in a cluster only."
    )


class ServiceValues(Section):
    """The Service that callers reach the edge by."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(default="ClusterIP", description="Its type.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(default=80, description="Its port.")
    annotations: Labels = Field(default_factory=dict, description="Its annotations.")


class IngressValues(Section):
    """An Ingress to the edge."""

    enabled: bool = Field(default=False, description="Whether there is one.")
    class_name: str | None = Field(default=None, description="Its class. Unset: the cluster's default.")
    host: str = Field(default="", description="Name that callers use.")
    tls_secret_name: str | None = Field(default=None, description="Secret with its certificate. Unset: plain HTTP.")
    annotations: Labels = Field(
        default_factory=dict, description="Beside those that let streams through ingress-nginx."
    )


class GatewayValues(Section):
    """An HTTPRoute of the Gateway API to the edge."""

    enabled: bool = Field(default=False, description="Whether there is one.")
    parent_refs: list[dict[str, Any]] = Field(default_factory=list, description="Gateways that it belongs to.")
    hostnames: list[str] = Field(default_factory=list, description="Names that callers use.")


class EdgeAutoscalingValues(Section):
    """A HorizontalPodAutoscaler of the edge, by CPU: an edge is one process with one event loop."""

    enabled: bool = Field(default=False, description="Whether there is one.")
    min_replicas: Annotated[int, Field(ge=1, le=1024)] = Field(default=2, description="Fewest edges.")
    max_replicas: Annotated[int, Field(ge=1, le=1024)] = Field(default=10, description="Most edges.")
    cpu_utilization: Annotated[int, Field(ge=1, le=100)] = Field(
        default=70, description="Load to hold, in percent of the CPU that is requested."
    )


class EdgeKubernetesValues(PlacementValues):
    """The edge's Deployment."""

    resources: ResourcesValues = Field(
        default=ResourcesValues(requests={"cpu": "1", "memory": "512Mi"}, limits={"memory": "2Gi"}),
        description="CPU and memory.",
    )
    image: str | None = Field(default=None, description="Whole name of an image, instead of `<repository>-edge`.")
    replicas: Annotated[int, Field(ge=1, le=1024)] = Field(default=2, description="How many edges.")
    env: list[dict[str, Any]] = Field(default_factory=list, description="Further environment variables.")
    pod_annotations: Labels = Field(default_factory=dict, description="Further annotations of pods.")
    pod_labels: Labels = Field(default_factory=dict, description="Further labels of pods.")
    files_claim: str | None = Field(
        default=None,
        description="ReadWriteMany claim for images asked for by URL. Unset: each edge has its own, or `files.s3`.",
    )
    service: ServiceValues = Field(default=ServiceValues(), description="The Service that callers reach it by.")
    ingress: IngressValues = Field(default=IngressValues(), description="An Ingress.")
    gateway: GatewayValues = Field(default=GatewayValues(), description="A route of the Gateway API.")
    autoscaling: EdgeAutoscalingValues = Field(default=EdgeAutoscalingValues(), description="Edges by load.")
    pod_disruption_budget: DisruptionValues = Field(default=DisruptionValues(), description="What evictions leave.")


class EdgeValues(EdgeConfig):
    """The edge. `host`, `port` and `processes` are the chart's own to decide; `api_keys_file` is `secrets.apiKeys`."""

    request_timeout_s: float = Field(
        default=EdgeSettings.model_fields["request_timeout_s"].default,
        gt=0,
        description="Longest a request may take, in seconds; an Ingress waits a minute longer.",
    )
    kubernetes: EdgeKubernetesValues = Field(
        default=EdgeKubernetesValues(), description="What matters in a cluster only."
    )


class ImageValues(Section):
    """Images: `<registry>/<repository>-edge` and `<registry>/<repository>-<service>-<engine>`."""

    registry: str = Field(default="", description="Host of the registry. Empty: the nodes' default.")
    repository: str = Field(default="gpt-server", description="Start of the images' names.")
    tag: str = Field(default="", description="Tag. Empty: the chart's appVersion.")
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(default="IfNotPresent", description="When to pull.")
    pull_secrets: list[str] = Field(default_factory=list, description="Secrets for the registry.")


class SecretKeyValues(Section):
    """A key of a Secret that exists."""

    name: str = Field(default="", description="Of the Secret. Empty: none.")
    key: str = Field(default="token", description="In the Secret.")


class ApiKeysValues(SecretKeyValues):
    """The API keys of the edge."""

    key: str = Field(default="api-keys", description="In the Secret.")


class ConsulTlsValues(Section):
    """Credentials for a Consul behind https."""

    name: str = Field(default="", description="Secret with `ca.crt`. Empty: none.")
    client_certificate: bool = Field(default=False, description="Whether it has `tls.crt` and `tls.key` to show, too.")


class SecretsValues(Section):
    """Secrets that exist already; no secret stands in the values."""

    api_keys: ApiKeysValues = Field(default=ApiKeysValues(), description="API keys of the edge, one `name:key` a line.")
    hub_token: SecretKeyValues = Field(default=SecretKeyValues(), description="Token of the model hub (HF_TOKEN).")
    consul_token: SecretKeyValues = Field(default=SecretKeyValues(), description="Consul's ACL token.")
    consul_tls: ConsulTlsValues = Field(default=ConsulTlsValues(), description="For a Consul behind https.")
    bucket_key: SecretKeyValues = Field(
        default=SecretKeyValues(key="secret"), description="The secret to `edge.files.s3.access_key_id`."
    )
    service_tokens: str = Field(
        default="",
        description="Secret with `tokens`, which services accept (`name:token` a line), and `token`, which edges show.",
    )


class IssuerValues(Section):
    """Who signs: an issuer of cert-manager."""

    name: str = Field(description="Its name.")
    kind: Literal["Issuer", "ClusterIssuer"] = Field(default="Issuer", description="Its kind.")
    group: str = Field(default="cert-manager.io", description="Its group.")


class TlsValues(Section):
    """Mutual TLS between edge and services."""

    enabled: bool = Field(default=False, description="Whether they speak it.")
    service_secret: str = Field(
        default="", description="Secret of the services: `tls.crt`, `tls.key`, `ca.crt`. Empty: made by cert-manager."
    )
    edge_secret: str = Field(default="", description="The same of the edges.")
    issuer: IssuerValues | None = Field(default=None, description="cert-manager's issuer. Unset: Secrets that exist.")


class ServiceAccountValues(Section):
    """The account of all pods; it has no rights, and no token is mounted."""

    create: bool = Field(default=True, description="Whether the chart makes it.")
    name: str = Field(default="", description="Its name. Empty: the release's; of one that exists: `default`.")
    annotations: Labels = Field(default_factory=dict, description="Its annotations.")


class NetworkPolicyValues(Section):
    """Only edges reach services, only Prometheus reaches metrics."""

    enabled: bool = Field(default=True, description="Whether there are policies.")
    prometheus_from: list[dict[str, Any]] = Field(
        default=[{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        description="Who may read metrics.",
    )
    edge_from: list[dict[str, Any]] = Field(default_factory=list, description="Who may call the edge. Empty: everyone.")
    services_from: list[dict[str, Any]] = Field(
        default_factory=list, description="Who may call services beside edges: gRPC clients, Consul's health checks."
    )


class EnabledValues(Section):
    """Something that may be there."""

    enabled: bool = Field(default=False, description="Whether it is there.")
    labels: Labels = Field(default_factory=dict, description="Further labels, by which an operator finds it.")


class MonitoringValues(Section):
    """For the Prometheus operator and Grafana."""

    service_monitor: EnabledValues = Field(default=EnabledValues(), description="Whom Prometheus scrapes.")
    rules: EnabledValues = Field(default=EnabledValues(), description="Alerts, as a PrometheusRule.")
    dashboard: EnabledValues = Field(
        default=EnabledValues(labels={"grafana_dashboard": "1"}), description="Grafana's dashboard, in a ConfigMap."
    )
    scrape_interval_s: int = Field(
        default=15, ge=1, alias="scrape_interval_s", description="Time between two scrapes, in seconds."
    )


class ChartValues(StackConfig):
    """The values: what `gpt-server up` reads, and what matters in a cluster only."""

    model_config = ConfigDict(alias_generator=None)

    edge: EdgeValues = Field(default=EdgeValues(), description="The address that callers use.")
    models: dict[DnsLabel, ModelValues] = Field(  # type: ignore[assignment]
        min_length=1, description="The models, each under a DNS label of your choice; a Deployment each."
    )
    log: LogConfig = Field(default=LogConfig(format="json"), description="The log of every process.")
    image: ImageValues = Field(default=ImageValues(), description="Images.")
    secrets: SecretsValues = Field(default=SecretsValues(), description="Secrets that exist already.")
    tls: TlsValues = Field(default=TlsValues(), description="Mutual TLS between edge and services.")
    service_account: ServiceAccountValues = Field(
        default=ServiceAccountValues(), alias="serviceAccount", description="The account of all pods."
    )
    network_policy: NetworkPolicyValues = Field(
        default=NetworkPolicyValues(), alias="networkPolicy", description="Who may connect."
    )
    monitoring: MonitoringValues = Field(
        default=MonitoringValues(), description="For the Prometheus operator and Grafana."
    )
    name_override: str = Field(default="", alias="nameOverride", description="Instead of the chart's name.")
    fullname_override: str = Field(default="", alias="fullnameOverride", description="Instead of the objects' prefix.")
    pre_stop_s: Annotated[int, Field(ge=0, le=300)] = Field(
        default=5, alias="pre_stop_s", description="Pause before SIGTERM, until nobody sends more, in seconds."
    )
    extra: dict[str, Any] = Field(default_factory=dict, alias="global", description="Helm's own.")
