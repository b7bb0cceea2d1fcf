"""Settings of a service process, of any modality: one YAML file, `GPT_SERVER_*` and flags.

Order: flag > environment (`GPT_SERVER_GRPC__PORT`) > file > default. Unknown keys are refused. Descriptions carry
units; the configuration reference is made from them.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FilePath, StringConstraints, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
AdapterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
ServedName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^\S+$")]
Port = Annotated[int, Field(ge=0, le=65535)]


class Section(BaseModel):
    """A part of the settings: read once, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TlsSettings(Section):
    """Credentials of the gRPC port. Files are read again when they change."""

    cert_file: Path = Field(description="Certificate chain, PEM.")
    key_file: Path = Field(description="Private key of the certificate, PEM.")
    client_ca_file: Path | None = Field(
        default=None,
        description="Authorities, PEM; clients must show a certificate of theirs (mutual TLS). Unset: none.",
    )


class GrpcSettings(Section):
    """The gRPC port."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=0, description="Port to listen on; 0: any free one.")
    max_message_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1024, le=2**31 - 1, description="Largest request message, in bytes."
    )
    tokens_file: Path | None = Field(
        default=None,
        description="File with one token a line, `name:token` or `token`, of which calls must show one; health checks "
        "need none. Read again when it changes. Unset: everyone may call.",
    )
    default_timeout_s: float = Field(default=600.0, gt=0, description="Deadline of calls that bring none, in seconds.")
    max_connection_age_s: float | None = Field(
        default=None,
        gt=0,
        description="Age in seconds after which a connection takes no new calls, so that clients look their name up "
        "again and find new replicas; calls that run go on. Unset: none.",
    )
    tls: TlsSettings | None = Field(default=None, description="Credentials. Unset: plain text.")


class ConsulTlsSettings(Section):
    """Credentials for an agent behind https."""

    ca_file: FilePath | None = Field(default=None, description="Authorities to trust, PEM. Unset: those of the system.")
    cert_file: FilePath | None = Field(
        default=None, description="Our certificate chain, PEM (mutual TLS). Unset: none."
    )
    key_file: FilePath | None = Field(default=None, description="Private key of the certificate, PEM.")

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> "ConsulTlsSettings":
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: set both or neither")
        return self


class ConsulCheckSettings(Section):
    """How the agent asks whether the process is well: gRPC's health check. With TLS on the gRPC port it uses TLS."""

    interval_s: float = Field(default=5.0, ge=1, description="Time between two checks, in seconds.")
    deregister_after_s: float = Field(
        default=3600.0,
        ge=60,
        description="How long it may fail before Consul forgets the process, in seconds; more than the longest load.",
    )
    tls_server_name: str | None = Field(
        default=None, description="Name that the gRPC port's certificate carries. Unset: the host of the address."
    )
    tls_skip_verify: bool = Field(default=False, description="Whether the agent leaves that certificate unchecked.")


class ConsulSettings(Section):
    """The Consul agent to register with. Its ACL token: `token_file`, or CONSUL_HTTP_TOKEN in the environment."""

    address: str = Field(
        default="http://127.0.0.1:8500",
        pattern=r"^https?://[^/?#@\s]+$",
        description="The agent's HTTP API, as `http://host:port` or `https://host:port`.",
    )
    token_file: FilePath | None = Field(default=None, description="File with the ACL token. Unset: CONSUL_HTTP_TOKEN.")
    tls: ConsulTlsSettings = Field(default=ConsulTlsSettings(), description="Credentials for https.")
    prefix: str = Field(
        default="gpt-server",
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        max_length=50,
        description="The service is named `<prefix>-<modality>`, such as gpt-server-llm.",
    )
    advertise_host: str | None = Field(
        default=None,
        min_length=1,
        description="Address at which others reach the gRPC port. Unset: `grpc.host`; where that is all addresses, "
        "the agent's own if it runs on this machine, else the one that leads to it.",
    )
    check: ConsulCheckSettings = Field(default=ConsulCheckSettings(), description="The agent's health check.")


class AdminSettings(Section):
    """The HTTP port with `/livez`, `/readyz` and `/metrics`."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=0, description="Port to listen on; 0: any free one.")


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


class LimitSettings(Section):
    """How much a model takes on at a time."""

    max_running: int = Field(default=32, ge=1, le=65536, description="Sequences computed at the same time.")
    max_queued: int = Field(
        default=256, ge=0, le=65536, description="Requests that may wait for a slot; one more is refused as overloaded."
    )


class ModelSettings(Section):
    """One model and the engine that runs it."""

    engine: str = Field(description="Engine, by its name in the service's table.")
    model: str = Field(min_length=1, description="A folder, or an id on the hub.")
    names: tuple[ServedName, ...] = Field(
        default=(), description="Names the model is asked for by, the first is primary. Empty: its key."
    )
    adapters: dict[AdapterName, str] = Field(
        default_factory=dict,
        description="Adapters (LoRA): name to folder; served as `<primary name>:<name>` and as `<name>`.",
    )
    adapter_folder: Path | None = Field(
        default=None,
        description="Adapters may be loaded while the model runs from folders in this one: when a request names "
        "`<primary name>:<folder>`, or by `LoadAdapter`. Unset: none may.",
    )
    gpus: int = Field(default=0, ge=0, description="GPUs the engine may use; 0: it runs on the CPU.")
    limits: LimitSettings = Field(default=LimitSettings(), description="What it takes on at a time.")
    engine_args: dict[str, Any] = Field(default_factory=dict, description="Arguments of the engine's own library.")


class ServiceSettings(BaseSettings):
    """Settings of one service process."""

    model_config = SettingsConfigDict(
        env_prefix="GPT_SERVER_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    replica: str = Field(min_length=1, description="Name of this process, unique in the installation.")
    grpc: GrpcSettings = Field(default=GrpcSettings(), description="The gRPC port.")
    admin: AdminSettings = Field(default=AdminSettings(), description="The admin HTTP port.")
    consul: ConsulSettings | None = Field(default=None, description="Where the process registers. Unset: nowhere.")
    announce_file: Path | None = Field(
        default=None, description="Written when both ports are open: JSON with `grpc`, `admin` and `pid`. Unset: none."
    )
    drain_timeout_s: float = Field(
        default=30.0, ge=0, description="How long running calls may go on after SIGTERM, in seconds."
    )
    log: LogSettings = Field(default=LogSettings(), description="The log.")
    tracing: TracingSettings = Field(default=TracingSettings(), description="OpenTelemetry traces.")
    models: dict[DnsLabel, ModelSettings] = Field(min_length=1, description="The models, each by a DNS label.")

    @model_validator(mode="after")
    def _names_are_unique(self) -> "ServiceSettings":
        counts = Counter(name for key, model in self.models.items() for name, _ in _served_names(key, model))
        if twice := sorted(name for name, count in counts.items() if count > 1):
            raise ValueError(f"served under more than one model: {', '.join(twice)}")
        return self

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


def served_names(key: str, model: ModelSettings) -> dict[str, str | None]:
    """Returns every name a model answers to, the primary one first, and the adapter behind it if any."""
    return dict(_served_names(key, model))


def _served_names(key: str, model: ModelSettings) -> Iterator[tuple[str, str | None]]:
    names = model.names or (key,)
    yield from ((name, None) for name in names)
    for adapter in model.adapters:
        yield from ((name, adapter) for name in adapter_names(names[0], adapter))


def adapter_names(primary: str, adapter: str) -> tuple[str, str]:
    """Returns the names that an adapter of a model answers to."""
    return f"{primary}:{adapter}", adapter
