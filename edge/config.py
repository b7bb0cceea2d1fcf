"""Settings of an edge process: one YAML file, `GPT_SERVER_*` and flags.

Order: flag > environment (`GPT_SERVER_MEDIA__TIMEOUT_S`) > file > default. Unknown keys are refused. Descriptions carry
units; the configuration reference is made from them.
"""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FilePath, SecretStr, model_validator
from pydantic_settings import BaseSettings, CliSuppress, PydanticBaseSettingsSource, SettingsConfigDict

Port = Annotated[int, Field(ge=0, le=65535)]


class Section(BaseModel):
    """A part of the settings: read once, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AdminSettings(Section):
    """The HTTP port with `/livez`, `/readyz` and `/metrics`."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=0, description="Port to listen on; 0: any free one.")


class DiscoverySettings(Section):
    """Where the replicas are."""

    kind: Literal["static"] = Field(default="static", description="`static`: the addresses given here and in `file`.")
    addresses: tuple[str, ...] = Field(default=(), description="Replicas, each as `host:port`.")
    file: Path | None = Field(
        default=None,
        description="JSON with `addresses` and `expected_models`, read again when it changes. Unset: none.",
    )


class TlsSettings(Section):
    """Credentials for talking to services."""

    ca_file: FilePath | None = Field(default=None, description="Authorities to trust, PEM. Unset: those of the system.")
    cert_file: FilePath | None = Field(
        default=None, description="Our certificate chain, PEM (mutual TLS). Unset: none."
    )
    key_file: FilePath | None = Field(default=None, description="Private key of the certificate, PEM.")
    server_name: str | None = Field(
        default=None, description="Name that the services' certificates carry. Unset: the host of the address."
    )

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> "TlsSettings":
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: set both or neither")
        return self


class ChannelSettings(Section):
    """How the edge talks to services."""

    tls: TlsSettings | None = Field(default=None, description="Credentials. Unset: plain text.")


class MediaSettings(Section):
    """Pictures, sounds and documents in requests, inline or behind a URL."""

    max_bytes: int = Field(default=20 * 1024 * 1024, ge=1, description="Largest single file, in bytes.")
    timeout_s: float = Field(default=10.0, gt=0, description="Time to fetch one URL, redirects included, in seconds.")
    max_redirects: int = Field(default=3, ge=0, le=20, description="Redirects followed per URL; each is checked.")
    allow_private_addresses: bool = Field(
        default=False, description="Whether URLs may lead to loopback, private and link-local addresses."
    )


class FileSettings(Section):
    """Image files that answers refer to by URL."""

    folder: Path | None = Field(
        default=None,
        description="Where they lie; edges that answer for one address share it. Unset: a folder of this user's "
        "below the system's temporary one.",
    )
    expires_s: float = Field(default=3600.0, gt=0, description="How long a file is there, in seconds.")
    max_total_bytes: int = Field(
        default=1024 * 1024 * 1024, ge=1024, description="All files together, in bytes; the oldest go first."
    )
    public_url: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="Start of the URLs, `https://api.example.org`. Empty: the host that the caller has named.",
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
        description="File with one API key a line, `name:key` or `key`; `#` starts a comment. Unset: none.",
    )
    api_keys: CliSuppress[SecretStr] = Field(
        default=SecretStr(""),
        description="API keys, comma separated; only from the environment (`GPT_SERVER_API_KEYS`).",
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
    discovery: DiscoverySettings = Field(default=DiscoverySettings(), description="Where the replicas are.")
    channel: ChannelSettings = Field(default=ChannelSettings(), description="How the edge talks to services.")
    media: MediaSettings = Field(default=MediaSettings(), description="Files in requests.")
    files: FileSettings = Field(default=FileSettings(), description="Image files that answers refer to by URL.")
    moderation: ModerationSettings = Field(
        default=ModerationSettings(), description="How labels become answers of /v1/moderations."
    )
    log: LogSettings = Field(default=LogSettings(), description="The log.")

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
        if not (self.has_keys or self.allow_unauthenticated or _is_loopback(host)):
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


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
