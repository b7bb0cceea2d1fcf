"""The user's file: which models run, and how the edge is reached. Helm values use the same keys.

What belongs to an engine (`engine_args`) or to the edge's details is checked by those processes themselves
(`--check`); everything else here. Descriptions carry units; the reference and the JSON Schema are made from them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from gpt_server.launcher.yaml_file import BadConfig, YamlFile, read

DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
AdapterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
ServedName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^\S+$")]
Port = Annotated[int, Field(ge=0, le=65535)]
EDGE = "edge"


class Section(BaseModel):
    """A part of the file: unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EdgeConfig(Section):
    """The address that callers use. What is unset takes the edge's own default."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=8000, description="Port to listen on; 0: any free one.")
    processes: int = Field(default=1, ge=1, le=256, description="Edge processes; they share the port.")
    api_keys_file: str | None = Field(default=None, description="File with one API key a line, `name:key` or `key`.")
    key_limits: dict[str, Any] | None = Field(
        default=None, description="What each key may do, by its name; keys as in the edge's settings."
    )
    routing: dict[str, Any] | None = Field(
        default=None, description="Which replica answers a request; keys as in the edge's settings."
    )
    allow_unauthenticated: bool | None = Field(
        default=None, description="Listen beyond this machine without any API key."
    )
    allow_adapter_changes: bool | None = Field(
        default=None, description="Whether callers may load and unload adapters (/v1/load_lora_adapter)."
    )
    cors_origins: list[str] | None = Field(
        default=None, description="Origins whose pages may call the API from a browser."
    )
    max_body_bytes: int | None = Field(default=None, description="Largest request body, in bytes.")
    request_timeout_s: float | None = Field(default=None, description="Longest a request may take, in seconds.")
    sse_keep_alive_s: float | None = Field(
        default=None, description="Silence after which a stream gets a comment, in seconds."
    )
    media: dict[str, Any] | None = Field(
        default=None, description="Limits of files in requests; keys as in the edge's settings."
    )
    files: dict[str, Any] | None = Field(
        default=None, description="Where images lie that are asked for by URL; keys as in the edge's settings."
    )
    moderation: dict[str, Any] | None = Field(
        default=None, description="How labels become answers of /v1/moderations; keys as in the edge's settings."
    )


class ConsulTlsConfig(Section):
    """Credentials for an agent behind https."""

    ca_file: str | None = Field(default=None, description="Authorities to trust, PEM. Unset: those of the system.")
    cert_file: str | None = Field(default=None, description="Our certificate chain, PEM (mutual TLS). Unset: none.")
    key_file: str | None = Field(default=None, description="Private key of the certificate, PEM.")


class ConsulConfig(Section):
    """The Consul agent of this machine. What is unset takes the default of the processes."""

    address: str | None = Field(
        default=None, description="The agent's HTTP API, as `http://host:port` or `https://host:port`."
    )
    token_file: str | None = Field(default=None, description="File with the ACL token. Unset: CONSUL_HTTP_TOKEN.")
    tls: ConsulTlsConfig | None = Field(default=None, description="Credentials for https.")
    prefix: str | None = Field(default=None, description="Services are named `<prefix>-<modality>`.")
    advertise_host: str | None = Field(
        default=None, description="Address of this machine that services register, if not `local.host`."
    )
    check: dict[str, Any] | None = Field(
        default=None, description="The agent's health check; keys as in a service's settings."
    )


class HubConfig(Section):
    """Where models come from that are named by a hub id. `HF_TOKEN` is taken from the environment only."""

    home: str | None = Field(
        default=None, description="Folder of downloaded models (HF_HOME). Unset: the hub library's own."
    )
    offline: bool = Field(default=False, description="Download nothing; use what is there (HF_HUB_OFFLINE).")


class LogConfig(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level written.")
    format: Literal["text", "json"] = Field(default="text", description="A line for people, or one JSON object.")


class LimitsConfig(Section):
    """How much a model takes on at a time."""

    max_running: int = Field(default=32, ge=1, le=65536, description="Sequences computed at the same time.")
    max_queued: int = Field(default=256, ge=0, le=65536, description="Requests that may wait; one more is refused.")


class LocalConfig(Section):
    """What `gpt-server up` alone looks at."""

    devices: list[list[int]] | None = Field(
        default=None, description="GPU numbers of each replica, such as `[[0], [1]]`. Unset: taken in order."
    )
    python: str | None = Field(
        default=None, description="Python of the engine's environment. Unset: found by the engine's name."
    )
    host: str | None = Field(default=None, description="Address the gRPC port listens on. Unset: 127.0.0.1.")
    port: Port | None = Field(default=None, description="gRPC port of the only replica. Unset: any free one.")
    process: DnsLabel | None = Field(
        default=None, description="Name of a process that small models share. Unset: one each."
    )
    env: dict[str, str] = Field(default_factory=dict, description="Further environment variables of the process.")


class ModelConfig(Section):
    """One model."""

    service: Literal["llm", "embed", "audio", "image"] = Field(default="llm", description="The modality.")
    engine: str = Field(description="Library that runs it; `gpt-server engines list` has their names.")
    model: str = Field(min_length=1, description="A folder, relative to this file, or a hub id such as `org/name`.")
    names: list[ServedName] = Field(default_factory=list, description="Names it is asked for by, main one first.")
    replicas: int = Field(default=1, ge=0, le=1024, description="How many processes run it; 0 switches it off.")
    gpus: int = Field(default=0, ge=0, le=1024, description="GPUs of each replica; 0: it runs on the CPU.")
    limits: LimitsConfig = Field(default=LimitsConfig(), description="How much each replica takes on at a time.")
    adapters: dict[AdapterName, str] = Field(
        default_factory=dict,
        description="Adapters (LoRA): name to folder; asked for as `<main name>:<name>` or `<name>`.",
    )
    adapter_folder: str | None = Field(
        default=None, description="More adapters may be loaded from folders in this one while it runs. Unset: none may."
    )
    engine_args: dict[str, Any] = Field(default_factory=dict, description="Arguments of the engine's own library.")
    local: LocalConfig = Field(default=LocalConfig(), description="What matters on one machine only.")
    kubernetes: dict[str, Any] = Field(default_factory=dict, description="What matters in a cluster only.")


class StackConfig(Section):
    """The whole file."""

    edge: EdgeConfig = Field(default=EdgeConfig(), description="The address that callers use.")
    models: dict[DnsLabel, ModelConfig] = Field(description="The models, each under a DNS label of your choice.")
    consul: ConsulConfig | None = Field(
        default=None,
        description="Services register with Consul, and the edge finds there all that did, on whatever machine. "
        "Unset: the edge knows those of this file.",
    )
    hub: HubConfig = Field(default=HubConfig(), description="Where models come from that are named by a hub id.")
    log: LogConfig = Field(default=LogConfig(), description="The log of every process.")
    tracing: dict[str, Any] | None = Field(
        default=None, description="OpenTelemetry traces of every process; keys as in the edge's settings."
    )
    drain_timeout_s: float = Field(
        default=30.0, ge=0, description="How long running requests may go on at the end, in seconds."
    )

    def served_names(self, key: str) -> list[str]:
        """Returns the names a model is asked for by: the main one, its aliases, its adapters."""
        model = self.models[key]
        names = model.names or [key]
        return [*names, *(name for adapter in model.adapters for name in (f"{names[0]}:{adapter}", adapter))]


def load(path: Path) -> tuple[StackConfig, YamlFile]:
    """Reads and checks the user's file. Raises `BadConfig`."""
    file = read(path)
    return check(file), file


def check(file: YamlFile) -> StackConfig:
    """Returns the configuration that a file holds, its folders as absolute paths. Raises `BadConfig`."""
    try:
        config = StackConfig.model_validate(file.content)
    except ValidationError as error:
        raise BadConfig([_fault(file, fault) for fault in error.errors(include_url=False)]) from None
    if problems := [*_conflicts(config, file)]:
        raise BadConfig(problems)
    base = file.path.resolve().parent if file.path else Path.cwd()
    models = {key: _with_folders(model, base) for key, model in config.models.items()}
    keys_file, home = config.edge.api_keys_file, config.hub.home
    edge = config.edge.model_copy(update={"api_keys_file": keys_file and _path(keys_file, base)})
    hub = config.hub.model_copy(update={"home": home and _path(home, base)})
    consul = config.consul and _with_files(config.consul, base)
    return config.model_copy(update={"models": models, "edge": edge, "hub": hub, "consul": consul})


def _with_files(consul: ConsulConfig, base: Path) -> ConsulConfig:
    tls = consul.tls and ConsulTlsConfig(
        **{key: file and _path(file, base) for key, file in consul.tls.model_dump().items()}
    )
    return consul.model_copy(update={"tls": tls, "token_file": consul.token_file and _path(consul.token_file, base)})


def _with_folders(model: ModelConfig, base: Path) -> ModelConfig:
    adapters = {name: _path(folder, base) for name, folder in model.adapters.items()}
    more = model.adapter_folder and _path(model.adapter_folder, base)
    changed = {"model": _folder_or_id(model.model, base), "adapters": adapters, "adapter_folder": more}
    return model.model_copy(update=changed)


def _folder_or_id(model: str, base: Path) -> str:
    """A hub id has at most one slash and names no folder; anything else is a path, there or not."""
    path = _path(model, base)
    is_id = model.count("/") <= 1 and not model.startswith((".", "/", "~"))
    return model if is_id and not Path(path).exists() else path


def _path(text: str, base: Path) -> str:
    return str((base / Path(text).expanduser()).resolve())


def _fault(file: YamlFile, fault: Any) -> str:
    key = tuple(step for step in fault["loc"] if step != "[key]")
    if fault["type"] == "extra_forbidden":
        return file.problem(key, f"unknown key{_allowed(key)}")
    if fault["type"] == "missing":
        return file.problem(key, "is required")
    if fault["type"] == "string_pattern_mismatch" and fault["loc"][-3:-2] == ("adapters",):
        return file.problem(key, "must be a name: up to 63 letters, digits, '.', '_' and '-'")
    if fault["type"] == "string_pattern_mismatch" and "[key]" in fault["loc"]:
        return file.problem(key, "must be a DNS label: lower-case letters, digits and hyphens, at most 63")
    message: str = fault["msg"]
    return file.problem(key, message[:1].lower() + message[1:])


def _allowed(key: tuple[str | int, ...]) -> str:
    """Says which keys are allowed beside an unknown one, and which was probably meant."""
    steps = [str(step) for step in key]
    section: type[BaseModel] = StackConfig
    if steps[0] == "models" and len(steps) > 2:
        section, steps = ModelConfig, steps[2:]
    for step in steps[:-1]:
        section = section.model_fields[step].annotation  # type: ignore[assignment]
    meant = get_close_matches(str(key[-1]), section.model_fields, 1)
    guess = f"; did you mean {meant[0]}?" if meant else ""
    return f"{guess} (allowed: {', '.join(section.model_fields)})"


def _conflicts(config: StackConfig, file: YamlFile) -> Iterator[str]:
    """Yields what is right key by key and wrong together."""
    if not config.models:
        yield file.problem(("models",), "name at least one model")
    counts = Counter(name for key in config.models for name in {*config.served_names(key)})
    for key, model in config.models.items():
        at = ("models", key)
        names = config.served_names(key)
        for name in names:
            if counts[name] > 1:
                yield file.problem((*at, "names"), f"the name {name!r} is taken by more than one model")
        if len(set(names)) < len(names):
            yield file.problem((*at, "names"), "must not have a name twice")
        if model.local.port and model.replicas > 1:
            yield file.problem((*at, "local", "port"), f"one port cannot serve {model.replicas} replicas")
        devices = model.local.devices
        if devices is not None and [len(row) for row in devices] != [model.gpus] * model.replicas:
            yield file.problem(
                (*at, "local", "devices"),
                f"must have {model.replicas} lists of {model.gpus} GPUs, as replicas and gpus say",
            )
    yield from _sharing(config, file)


def _sharing(config: StackConfig, file: YamlFile) -> Iterator[str]:
    """Models of one process must agree on everything that belongs to the process."""
    first: dict[str, tuple[str, ModelConfig]] = {}
    ports = {config.edge.port: EDGE}
    for key, model in config.models.items():
        process = model.local.process or key
        if process == EDGE:
            yield file.problem(("models", key), "edge is the name of the edge's own processes; take another")
        other_key, other = first.setdefault(process, (key, model))
        if _of_process(model) != _of_process(other):
            yield file.problem(
                ("models", key, "local", "process"),
                f"shares a process with {other_key}, so service, replicas, gpus and local must be the same",
            )
        owner = ports.setdefault(model.local.port, process) if model.local.port else process
        if owner != process:
            yield file.problem(("models", key, "local", "port"), f"is taken by {owner}")


def _of_process(model: ModelConfig) -> Mapping[str, Any]:
    return {
        "service": model.service,
        "replicas": model.replicas,
        "gpus": model.gpus,
        "local": model.local.model_copy(update={"process": None}),
    }
