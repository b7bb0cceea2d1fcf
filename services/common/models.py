"""The models of a process: their names, state and load, whatever their modality."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from gpt_server.common.v1 import model_pb2 as pb
from gpt_server.common.v1 import model_service_pb2 as watch_pb
from gpt_server.services.common import telemetry
from gpt_server.services.common.admission import Admission
from gpt_server.services.common.calls import current_call
from gpt_server.services.common.changes import Changes
from gpt_server.services.common.config import adapter_names
from gpt_server.services.common.engines import Details, Engine
from gpt_server.services.common.errors import EngineUnavailable, ModelLoading, ModelNotFound, WrongModelKind

LOADING = watch_pb.MODEL_STATE_LOADING
READY = watch_pb.MODEL_STATE_READY
DRAINING = watch_pb.MODEL_STATE_DRAINING
FAILED = watch_pb.MODEL_STATE_FAILED
LOADING_RETRY_S = 5.0
NAMES_SHOWN = 10

E = TypeVar("E", bound=Engine[Details])


@dataclass(slots=True, eq=False)
class ServedModel(Generic[E]):
    """One model of the process.

    Attributes:
        key: its key in the settings; the label of its metrics.
        names: served name -> adapter or `None`, the primary name first.
        adapter_folder: where adapters may be loaded from while it runs; `None`: nowhere.
        loaded: the engine, from before it is started.
        details: what `engine.start` returned; `None` before. The modality knows its type.
        created_s: when it became ready, or the process started, in seconds since the epoch.
    """

    key: str
    names: dict[str, str | None]
    engine_name: str
    kind: "pb.ModelKind.ValueType"
    admission: Admission
    state: "watch_pb.ModelState.ValueType" = LOADING
    loaded: E | None = None
    details: Any = None
    adapter_folder: Path | None = None
    created_s: float = field(default_factory=time.time)

    @property
    def engine(self) -> E:
        """The engine. Raises `EngineUnavailable` if there is none."""
        if self.loaded is None:
            raise EngineUnavailable(f"model {self.key!r} has no engine")
        return self.loaded

    @property
    def primary_name(self) -> str:
        """The name that it is known by."""
        return next(iter(self.names))

    @property
    def adapters(self) -> list[str]:
        """The adapters that are loaded on it, by name."""
        return [adapter for adapter in dict.fromkeys(self.names.values()) if adapter]

    @property
    def state_name(self) -> str:
        """`loading`, `ready`, `draining` or `failed`."""
        return watch_pb.ModelState.Name(self.state).removeprefix("MODEL_STATE_").lower()

    def describe(self, adapter: str | None = None) -> pb.ModelDescription:
        """Returns what is published of the model, or of one of its adapters."""
        name, *aliases = (name for name, of in self.names.items() if of == adapter)
        described = pb.ModelDescription(
            name=name,
            aliases=aliases,
            parent=self.primary_name if adapter else "",
            kind=self.kind,
            engine=self.engine_name,
            limits=pb.ModelLimits(max_running=self.admission.max_running, max_queued=self.admission.max_queued),
            created=Timestamp(seconds=int(self.created_s)),
        )
        if self.details is not None:
            if (limit_tokens := getattr(self.details, "max_context_tokens", None)) is not None:
                described.limits.max_context_tokens = limit_tokens
            described.capabilities.extend(sorted(map(_capability, self.details.capabilities)))
            if self.adapter_folder is not None and adapter is None:
                described.capabilities.append(pb.CAPABILITY_ADAPTER_LOADING)
        return described

    def statuses(self) -> Iterator[watch_pb.ModelStatus]:
        """Yields the model's line of `Watch`, then one for each adapter."""
        for adapter in dict.fromkeys(self.names.values()):
            yield watch_pb.ModelStatus(
                model=self.describe(adapter),
                state=self.state,
                running=self.admission.running,
                queued=self.admission.queued,
            )


def _capability(name: str) -> "pb.Capability.ValueType":
    return pb.Capability.Value(f"CAPABILITY_{name.upper()}")


class Models(Generic[E]):
    """All models of the process, by key, and the names they are asked for by. Belongs to one event loop."""

    def __init__(self, replica: str, models: Mapping[str, ServedModel[E]]) -> None:
        self.replica = replica
        self.changes = Changes()
        """Notified when a state changes."""
        self._models = models
        self._by_name = {name: (model, adapter) for model in self for name, adapter in model.names.items()}
        for model in self:
            self._publish(model)

    def __iter__(self) -> Iterator[ServedModel[E]]:
        return iter(self._models.values())

    def __getitem__(self, key: str) -> ServedModel[E]:
        return self._models[key]

    @property
    def ready(self) -> bool:
        """Whether every model takes requests."""
        return all(model.state == READY for model in self)

    def set_state(self, state: "watch_pb.ModelState.ValueType", *models: ServedModel[E]) -> None:
        """Moves models, all of them if none is named, to a state and tells those who watch."""
        for model in models or self:
            model.state = state
            if state == READY:
                model.created_s = time.time()
            telemetry.MODEL_STATE.labels(model.key, model.engine_name, self.replica).set(state)
        self.changes.notify()

    def taken(self, model: ServedModel[E], adapter: str) -> str | None:
        """Returns a name that an adapter would have and that is served already; `None`: it is free."""
        return next((name for name in adapter_names(model.primary_name, adapter) if name in self._by_name), None)

    def add_adapter(self, model: ServedModel[E], adapter: str) -> None:
        """Serves an adapter that a model has loaded, under names that are free."""
        for name in adapter_names(model.primary_name, adapter):
            model.names[name] = adapter
            self._by_name[name] = (model, adapter)
        self.changes.notify()

    def remove_adapter(self, model: ServedModel[E], adapter: str) -> None:
        """Serves an adapter no more; requests that run go on."""
        for name in [name for name, of in model.names.items() if of == adapter]:
            del model.names[name], self._by_name[name]
        self.changes.notify()

    def resolve(self, name: str, kind: "pb.ModelKind.ValueType | None" = None) -> tuple[ServedModel[E], str | None]:
        """Returns the model behind a served name, and the adapter's key if the name is one's.

        Args:
            name: as the caller wrote it.
            kind: what the RPC needs; `None` where a service has models of one kind only.

        Raises:
            ModelNotFound: it is not served here; the message lists up to ten names that are.
            WrongModelKind: it is of another kind.
            ModelLoading: not yet.
            EngineUnavailable: no more.
        """
        if name not in self._by_name:
            raise ModelNotFound(f"model {name[:100]!r} is not served here; served: {self._names_shown()}")
        model, adapter = self._by_name[name]
        if call := current_call.get():
            call.model = model.key
        if kind is not None and kind != model.kind:
            raise WrongModelKind(f"model {name!r} does {_kind(model.kind)}, not {_kind(kind)}")
        if model.state == LOADING:
            raise ModelLoading(f"model {name!r} is still being loaded", LOADING_RETRY_S)
        if model.state != READY:
            raise EngineUnavailable(f"model {name!r} is {model.state_name} here; another replica may answer")
        return model, adapter

    def _names_shown(self) -> str:
        names = list(self._by_name)
        return ", ".join(names[:NAMES_SHOWN] + ["…"] * (len(names) > NAMES_SHOWN))

    def _publish(self, model: ServedModel[E]) -> None:
        """Lets Prometheus read the load at each scrape."""
        telemetry.MODEL_STATE.labels(model.key, model.engine_name, self.replica).set(model.state)
        telemetry.RUNNING.labels(model.key, model.engine_name).set_function(lambda: model.admission.running)
        telemetry.QUEUED.labels(model.key, model.engine_name).set_function(lambda: model.admission.queued)


def _kind(kind: "pb.ModelKind.ValueType") -> str:
    return pb.ModelKind.Name(kind).removeprefix("MODEL_KIND_").lower()
