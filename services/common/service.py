"""The life of a service process: ports, models, readiness, drain, end.

loading -> ready -> draining -> gone. Ports answer from the first second on; models load behind them.
"""

import asyncio
import json
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import grpc

from gpt_server.common.v1 import model_pb2
from gpt_server.services.common.admin import Admin
from gpt_server.services.common.admission import Admission
from gpt_server.services.common.calls import Calls
from gpt_server.services.common.config import ConsulSettings, ModelSettings, ServiceSettings, served_names
from gpt_server.services.common.engines import Details, Engine, EngineMissing, load_engine
from gpt_server.services.common.models import DRAINING, FAILED, READY, Models, ServedModel
from gpt_server.services.common.server import GrpcServer, join_address
from gpt_server.services.common.settings import BadSettings, Problem

if TYPE_CHECKING:
    from gpt_server.services.common.registration import Registration

log = logging.getLogger(__name__)

E = TypeVar("E", bound=Engine[Details])
STOP_GRACE_S = 2.0


class Exit(IntEnum):
    """How the process ended. A supervisor restarts it after `LOAD_FAILED` and `ENGINE_DIED`."""

    DRAINED = 0
    BAD_SETTINGS = 2
    LOAD_FAILED = 3
    ENGINE_DIED = 4


@dataclass(frozen=True, slots=True)
class Modality(Generic[E]):
    """What tells one modality's process from another's; its `__main__` fills it in.

    Attributes:
        service_name: full name of the gRPC service.
        kind: what its models are for.
        engines: engine name -> `module:Class`.
        engine_config: turns a model's settings into the argument of the engine's class.
        add_servicer: adds the service's servicer, over these models, to a server.
        loads_adapters: whether adapters may be loaded while a model runs.
    """

    service_name: str
    kind: "model_pb2.ModelKind.ValueType"
    engines: Mapping[str, str]
    engine_config: Callable[[ModelSettings], Any]
    add_servicer: Callable[[Models[E], grpc.aio.Server], None]
    loads_adapters: bool = False


def check(modality: Modality[Any], settings: ServiceSettings) -> list[Problem]:
    """Returns what is wrong with the models' settings, in the words of their engines. Loads no model."""
    problems: list[Problem] = []
    for key, model in settings.models.items():
        try:
            engine = load_engine(modality.engines, model.engine)
        except EngineMissing as error:
            problems.append(Problem(f"models.{key}.engine", str(error)))
            continue
        found = engine.check(modality.engine_config(model))
        problems += [Problem(f"models.{key}.{problem.key}", problem.message) for problem in found]
        if model.adapter_folder is not None and not modality.loads_adapters:
            problems.append(Problem(f"models.{key}.adapter_folder", "this service loads no adapters while it runs"))
    return problems


class Service(Generic[E]):
    """A service process. `run` is its whole life; tests call the parts."""

    def __init__(self, modality: Modality[E], settings: ServiceSettings) -> None:
        self._modality = modality
        self._settings = settings
        self.calls = Calls()
        self.dead: asyncio.Future[ServedModel[E]] = asyncio.get_running_loop().create_future()
        """The first model whose engine has died."""
        self._deaths: list[asyncio.Task[None]] = []
        self._registration: Registration | None = None
        self.models: Models[E] = Models(
            settings.replica, {key: _served(modality, key, model) for key, model in settings.models.items()}
        )

    async def open(self) -> None:
        """Opens both ports and announces them. Raises `BadSettings` if one cannot be opened."""
        settings = self._settings
        self._grpc = GrpcServer(
            settings.grpc,
            self._modality.service_name,
            self.models,
            self.calls,
            lambda server: self._modality.add_servicer(self.models, server),
        )
        try:
            self._admin = Admin(settings.admin.host, settings.admin.port, self._readiness)
        except OSError as error:
            where = join_address(settings.admin.host, settings.admin.port)
            raise BadSettings([Problem("admin.port", f"cannot listen on {where}: {error.strerror}")]) from None
        self._admin.start()
        await self._grpc.start()
        self.address = join_address(settings.grpc.host, self._grpc.port)
        self.admin_address = join_address(settings.admin.host, self._admin.port)
        log.info("%s listens on %s, admin on %s", settings.replica, self.address, self.admin_address)
        if settings.announce_file is not None:
            _announce(settings.announce_file, {"grpc": self.address, "admin": self.admin_address, "pid": os.getpid()})
        if settings.consul is not None:
            self._register(settings.consul)

    async def load(self) -> None:
        """Loads all models, one after the other, and says that the process serves.

        Raises:
            BadSettings: an engine refuses its settings.
            Exception: of any kind, from the engine, when its model cannot be loaded.
        """
        # Importing an engine's library takes many seconds; the event loop goes on answering meanwhile.
        if problems := await asyncio.to_thread(check, self._modality, self._settings):
            raise BadSettings(problems)
        for model in self.models:
            settings = self._settings.models[model.key]
            engine_type = load_engine(self._modality.engines, settings.engine)
            model.loaded = engine_type(self._modality.engine_config(settings))
            model.details = await model.engine.start()
            self.models.set_state(READY, model)
            self._deaths.append(asyncio.create_task(self._watch_for_death(model)))
            log.info("model %s is ready", model.key)
        await self._grpc.set_serving(True)

    async def fail(self, model: ServedModel[E], why: str) -> None:
        """Ends all calls: a model cannot go on, and the process goes with it."""
        self._deregister()
        self.models.set_state(DRAINING)
        self.models.set_state(FAILED, model)
        await self._grpc.set_serving(False)
        await self._end_calls(why)

    async def drain(self, hurry: asyncio.Event) -> None:
        """Refuses new calls and waits for those that run; at most `drain_timeout_s`, or until `hurry` is set."""
        self._deregister()
        self.models.set_state(DRAINING)
        await self._grpc.set_serving(False)
        log.info("draining: %d calls in flight", len(self.calls))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_timeout_s):
                await _first(self.calls.idle(), hurry.wait(), self.dead)
        await self._end_calls("the service has stopped")

    async def close(self) -> None:
        """Closes ports and engines."""
        if self._registration is not None:
            await self._registration.left()
        await self._grpc.stop(STOP_GRACE_S)
        for watch in self._deaths:
            watch.cancel()
        for model in self.models:
            if model.loaded is not None:
                await model.loaded.close()
        self._admin.close()

    async def run(self) -> Exit:
        """Lives until a signal or a fault ends it. Raises `BadSettings`."""
        stop, hurry = asyncio.Event(), asyncio.Event()
        _on_signals(stop, hurry)
        await self.open()
        try:
            life = asyncio.create_task(self._serve())
            await _first(life, stop.wait())
            if stop.is_set() and not life.done():
                life.cancel()  # a load that is still going on; nothing else is lost
                await self.drain(hurry)
                return Exit.DRAINED
            return await life
        finally:
            await self.close()

    async def _serve(self) -> Exit:
        try:
            await self.load()
        except BadSettings:
            raise
        except Exception as error:
            failed = next(model for model in self.models if model.details is None)
            log.error("model %s failed to load: %s", failed.key, error)
            log.debug("the traceback of it", exc_info=True)
            await self.fail(failed, f"model {failed.key!r} could not be loaded")
            return Exit.LOAD_FAILED
        model = await asyncio.shield(self.dead)
        log.error("the engine of model %s has died", model.key)
        await self.fail(model, f"the engine of model {model.key!r} has died")
        return Exit.ENGINE_DIED

    def _register(self, consul: ConsulSettings) -> None:
        # Half a second of imports, for those who want them.
        from gpt_server.services.common.registration import Registration

        name, port = self._modality.service_name, self._grpc.port
        self._registration = Registration(consul, self._settings, name, port, lambda: self.models.ready)
        self._registration.start()

    def _deregister(self) -> None:
        if self._registration is not None:
            self._registration.leave()

    async def _end_calls(self, why: str) -> None:
        self.calls.end(why)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_GRACE_S):
                await self.calls.idle()

    async def _watch_for_death(self, model: ServedModel[E]) -> None:
        await model.engine.died.wait()
        if not self.dead.done():
            self.dead.set_result(model)

    def _readiness(self) -> tuple[bool, dict[str, str]]:
        return self.models.ready, {model.key: model.state_name for model in self.models}


def _served(modality: Modality[E], key: str, model: ModelSettings) -> ServedModel[E]:
    admission = Admission(model.limits.max_running, model.limits.max_queued)
    return ServedModel(
        key, served_names(key, model), model.engine, modality.kind, admission, adapter_folder=model.adapter_folder
    )


def _announce(path: Path, ports: Mapping[str, Any]) -> None:
    """Writes the file in one step: whoever waits for it never reads half of it."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        partial.write_text(json.dumps(ports), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise BadSettings([Problem("announce_file", f"{path}: {error.strerror}")]) from None


def _on_signals(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    """First SIGTERM or SIGINT: drain. Second: at once."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: hurry.set() if stop.is_set() else stop.set())


async def _first(*waits: Any) -> None:
    """Returns when one of several awaitables is done; coroutines among them are then cancelled."""
    tasks: Sequence[asyncio.Future[Any]] = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task, wait in zip(tasks, waits, strict=True):
            if task is not wait:
                task.cancel()
