"""Settings of an edge process: one YAML file, `GPT_SERVER_*` and flags.

Order: flag > environment (`GPT_SERVER_MEDIA__TIMEOUT_S`) > file > default. Unknown keys are refused. Descriptions carry
units; the configuration reference is made from them.
"""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, FilePath, SecretStr, StringConstraints, model_validator
from pydantic_settings import BaseSettings, CliSuppress, PydanticBaseSettingsSource, SettingsConfigDict

from gpt_server.edge.files_config import FileSettings
from gpt_server.edge.section import Section

Port = Annotated[int, Field(ge=0, le=65535)]
DnsName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?\.?:[0-9]{1,5}$")]


class AdminSettings(Section):
    """The HTTP port with `/livez`, `/readyz` and `/metrics`."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=0, description="Port to listen on; 0: any free one.")


class DiscoverySettings(Section):
    """Replicas that are named here, or that DNS knows."""

    addresses: tuple[str, ...] = Field(default=(), description="Replicas, each as `host:port`.")
    dns: tuple[DnsName, ...] = Field(
        default=(),
        description="DNS names, each as `host:port`: a replica is at every address that a name has, such as that of a "
        "headless Service. A dot behind the host keeps the resolver from trying search domains.",
    )
    dns_period_s: float = Field(default=2.0, ge=0.1, description="Time between two look-ups of a name, in seconds.")
    file: Path | None = Field(
        default=None,
        description="JSON with `addresses` and `expected_models`, read again when it changes. Unset: none.",
    )


class TlsSettings(Section):
    """Whom to trust, and who we are."""

    ca_file: FilePath | None = Field(default=None, description="Authorities to trust, PEM. Unset: those of the system.")
    cert_file: FilePath | None = Field(
        default=None, description="Our certificate chain, PEM (mutual TLS). Unset: none."
    )
    key_file: FilePath | None = Field(default=None, description="Private key of the certificate, PEM.")

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> "TlsSettings":
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: set both or neither")
        return self


class ChannelTlsSettings(TlsSettings):
    """Credentials for talking to services."""

    server_name: str | None = Field(
        default=None, description="Name that the services' certificates carry. Unset: the host of the address."
    )


class ChannelSettings(Section):
    """How the edge talks to services. Files are read again when they change."""

    tls: ChannelTlsSettings | None = Field(default=None, description="Credentials. Unset: plain text.")
    token_file: FilePath | None = Field(
        default=None, description="Token that the edge shows to services, where they want one. Unset: none."
    )
    keepalive_s: float = Field(
        default=10.0,
        ge=1,
        description="Time between signs of life on a connection, also under a long call, in seconds.",
    )
    keepalive_timeout_s: float = Field(
        default=10.0, gt=0, description="A peer that does not return one for so long is lost, in seconds."
    )


class RoutingSettings(Section):
    """Which replica answers a request."""

    policy: Literal["affinity", "least_load", "round_robin", "random"] = Field(
        default="affinity",
        description="`affinity`: by load, and where the beginning of the prompt, or the request's own key, was before; "
        "`least_load`: by load alone; the others know neither.",
    )
    load_weight: float = Field(
        default=1.0,
        ge=0,
        description="How much load counts against affinity: at 1 a replica with the whole prompt may be about twice as "
        "busy as the others, at 2 half as busy again.",
    )


class KeyLimits(Section):
    """What one API key may do, at each edge process."""

    requests_per_minute: int | None = Field(default=None, ge=1, description="Requests a minute. Unset: any number.")
    tokens_per_minute: int | None = Field(
        default=None,
        ge=1,
        description="Tokens of prompts and answers a minute; a request is refused once all are used. Unset: any.",
    )
    max_concurrent: int | None = Field(default=None, ge=1, description="Requests at the same time. Unset: any number.")
    models: tuple[str, ...] | None = Field(
        default=None, description="Names of models that it may ask for. Unset: all models."
    )


class MediaSettings(Section):
    """Pictures, sounds and documents in requests, inline or behind a URL."""

    max_bytes: int = Field(default=20 * 1024 * 1024, ge=1, description="Largest single file, in bytes.")
    timeout_s: float = Field(default=10.0, gt=0, description="Time to fetch one URL, redirects included, in seconds.")
    max_redirects: int = Field(default=3, ge=0, le=20, description="Redirects followed per URL; each is checked.")
    allow_private_addresses: bool = Field(
        default=False, description="Whether URLs may lead to loopback, private and link-local addresses."
    )


class ModerationSettings(Section):
    """How the labels of a classifier become an answer of /v1/moderations."""

    model: str | None = Field(default=None, description="The model of requests that name none. Unset: the only one.")
    threshold: float = Field(default=0.5, ge=0, le=1, description="Score from which a category is flagged.")
    thresholds: dict[str, float] = Field(
        default_factory=dict, description="The same for single categories, or labels that mean none of them."
    )
    labels: dict[str, str] = Field(
        default_factory=dict, description="Labels of a model, and OpenAI's category that each means."
    )
    safe_labels: tuple[str, ...] = Field(default=(), description="Further labels that say that nothing is wrong.")


class LogSettings(Section):
    """The log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level written.")
    format: Literal["text", "json"] = Field(default="text", description="A line for people, or one JSON object.")


class TracingSettings(Section):
    """OpenTelemetry traces; they need the extra `tracing`."""

    endpoint: str | None = Field(
        default=None, description="Collector that takes OTLP over gRPC, `http://host:4317`. Unset: no traces."
    )
    sample_ratio: float = Field(
        default=1.0, ge=0, le=1, description="Share of the traces that begin here which are kept; a caller's own count."
    )


class ConsulSettings(Section):
    """A Consul agent that knows replicas. Its ACL token: `token_file`, or CONSUL_HTTP_TOKEN in the environment."""

    address: str = Field(
        default="http://127.0.0.1:8500",
        pattern=r"^https?://[^/?#@\s]+$",
        description="The agent's HTTP API, as `http://host:port` or `https://host:port`.",
    )
    token_file: FilePath | None = Field(default=None, description="File with the ACL token. Unset: CONSUL_HTTP_TOKEN.")
    tls: TlsSettings = Field(default=TlsSettings(), description="Credentials for https.")
    prefix: str = Field(
        default="gpt-server",
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        max_length=50,
        description="Services are named `<prefix>-<modality>`, such as gpt-server-llm.",
    )


class EdgeSettings(BaseSettings):
    """Settings of one edge process."""

    model_config = SettingsConfigDict(
        env_prefix="GPT_SERVER_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=8000, description="Port to listen on; 0: any free one.")
    fd: int | None = Field(
        default=None, ge=0, description="File descriptor of a listening socket; wins over `host` and `port`."
    )
    admin: AdminSettings = Field(default=AdminSettings(), description="The admin HTTP port.")
    announce_file: Path | None = Field(
        default=None, description="Written when both ports are open: JSON with `http`, `admin` and `pid`. Unset: none."
    )
    api_keys_file: Path | None = Field(
        default=None,
        description="File with one API key a line, `name:key` or `key`; `#` starts a comment. Read again when it "
        "changes. Unset: none.",
    )
    api_keys: CliSuppress[SecretStr] = Field(
        default=SecretStr(""),
        description="API keys, comma separated; only from the environment (`GPT_SERVER_API_KEYS`).",
    )
    key_limits: dict[str, KeyLimits] = Field(
        default_factory=dict,
        description="What a key may do, by the key's name; `*`: every key that is not named, each for itself.",
    )
    allow_unauthenticated: bool = Field(
        default=False, description="Whether to listen beyond this machine without any API key."
    )
    allow_adapter_changes: bool = Field(
        default=False, description="Whether callers may load and unload adapters (/v1/load_lora_adapter)."
    )
    cors_origins: tuple[str, ...] = Field(
        default=(), description='Origins whose pages may call the API from a browser; `["*"]`: all.'
    )
    max_body_bytes: int = Field(default=64 * 1024 * 1024, ge=1024, description="Largest request body, in bytes.")
    max_upload_bytes: int = Field(
        default=512 * 1024 * 1024,
        ge=1024,
        description="Largest request body with a file, in bytes. It is kept in a temporary file meanwhile.",
    )
    request_timeout_s: float = Field(
        default=600.0, gt=0, description="Longest a request may take, in seconds; `x-request-timeout` shortens it."
    )
    sse_keep_alive_s: float = Field(
        default=15.0, gt=0, description="Silence in a stream after which a comment is sent, in seconds."
    )
    drain_timeout_s: float = Field(
        default=30.0, ge=0, description="How long running requests may go on after SIGTERM, in seconds."
    )
    expected_models: tuple[str, ...] = Field(
        default=(), description="Names that answer 503 with Retry-After, not 404, while no replica serves them."
    )
    discovery: DiscoverySettings = Field(
        default=DiscoverySettings(), description="Replicas that are named here, or that DNS knows."
    )
    consul: ConsulSettings | None = Field(
        default=None, description="Replicas that Consul knows; they join those of `discovery`. Unset: none."
    )
    channel: ChannelSettings = Field(default=ChannelSettings(), description="How the edge talks to services.")
    routing: RoutingSettings = Field(default=RoutingSettings(), description="Which replica answers a request.")
    media: MediaSettings = Field(default=MediaSettings(), description="Files in requests.")
    files: FileSettings = Field(default=FileSettings(), description="Image files that answers refer to by URL.")
    moderation: ModerationSettings = Field(
        default=ModerationSettings(), description="How labels become answers of /v1/moderations."
    )
    log: LogSettings = Field(default=LogSettings(), description="The log.")
    tracing: TracingSettings = Field(default=TracingSettings(), description="OpenTelemetry traces.")

    @property
    def has_keys(self) -> bool:
        """Whether callers must show an API key."""
        return self.api_keys_file is not None or bool(self.api_keys.get_secret_value())

    @model_validator(mode="after")
    def _is_guarded(self) -> "EdgeSettings":
        if self.fd is None:
            self.check_guarded(self.host)
        return self

    def check_guarded(self, host: str) -> None:
        """Raises `ValueError` if anyone on the network could use an edge that listens on `host`."""
        if not (self.has_keys or self.allow_unauthenticated or is_loopback(host)):
            raise ValueError(
                f"host {host} can be reached from other machines and no API keys are set: set api_keys_file "
                "or GPT_SERVER_API_KEYS, listen on 127.0.0.1, or say allow_unauthenticated: true"
            )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Puts the environment above the file, whose content arrives as arguments. Flags come first by themselves."""
        return env_settings, init_settings


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
