"""The replicas, what they say of themselves, and which of them answers a request.

A replica is in rotation while its `ModelService.Watch` stream lives and says that the model is ready: a stream that
breaks takes it out at once, one that answers again brings it back.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager

import grpc

from gpt_server.common.v1 import model_pb2, model_service_pb2
from gpt_server.common.v1.model_service_pb2 import WatchResponse
from gpt_server.common.v1.model_service_pb2_grpc import ModelServiceStub
from gpt_server.edge.discovery.base import Discovery, Snapshot
from gpt_server.edge.errors import ApiError

WATCH_SILENCE_S = 15.0
"""A replica reports every second; after this long without a word it counts as lost."""
BACK_OFF_S = (0.1, 2.0)
"""First and longest pause before a lost replica is asked again."""
NAMES_IN_ERROR = 10

STATES = ("ready", "loading", "draining", "failed")
KIND_NAMES: Mapping[int, str] = {
    model_pb2.MODEL_KIND_LLM: "text generation",
    model_pb2.MODEL_KIND_EMBED: "embeddings, reranking or classification",
    model_pb2.MODEL_KIND_IMAGE: "images",
}

log = logging.getLogger(__name__)


class Replica:
    """One running instance of a service.

    Attributes:
        address: `host:port`.
        channel: to it; the replica set closes it.
        name: what it calls itself; its address until it has answered.
        in_flight: calls of this edge that it is working on; `idle` is set while there are none.
        models: what it said last, by every name and alias; kept while it is lost, so that its names stay known.
        watched: whether its Watch stream lives.
        asked: whether its first Watch call has been answered or has failed.
    """

    def __init__(self, address: str, channel: grpc.aio.Channel) -> None:
        self.address = address
        self.channel = channel
        self.name = address
        self.version = ""
        self.in_flight = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self.models: dict[str, model_service_pb2.ModelStatus] = {}
        self.watched = False
        self.asked = False

    def acquire(self) -> None:
        """Counts a call in."""
        self.in_flight += 1
        self.idle.clear()

    def release(self) -> None:
        """Counts a call out."""
        self.in_flight -= 1
        if not self.in_flight:
            self.idle.set()

    def serves(self, model: str) -> bool:
        """Whether a request for `model` may be sent to it now."""
        status = self.models.get(model)
        return self.watched and status is not None and status.state == model_service_pb2.MODEL_STATE_READY

    def load(self, model: str) -> float:
        """Returns how full it is: requests per slot, by our own count or by what it says, whichever is more."""
        status = self.models[model]
        return max(self.in_flight, status.running + status.queued) / max(status.model.limits.max_running, 1)

    def apply(self, report: WatchResponse) -> None:
        """Takes over what it says of itself."""
        self.name, self.version = report.replica or self.address, report.version
        self.models = {name: status for status in report.models for name in (status.model.name, *status.model.aliases)}
        self.watched = self.asked = True


class ReplicaSet:
    """All replicas that discovery knows."""

    def __init__(self, open_channel: Callable[[str], grpc.aio.Channel]) -> None:
        self._open_channel = open_channel
        self._replicas: dict[str, Replica] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self.expected_models: frozenset[str] = frozenset()
        #: Set once discovery has spoken and each replica that it named has been asked.
        self.synced = asyncio.Event()

    def __iter__(self) -> Iterator[Replica]:
        return iter(self._replicas.values())

    @asynccontextmanager
    async def following(self, discovery: Discovery) -> AsyncIterator[None]:
        """Keeps the set in step with `discovery` while the context is open; then closes every channel."""
        following = asyncio.create_task(self._follow(discovery))
        try:
            yield
        finally:
            tasks = [following, *self._watches.values(), *self._retiring]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for replica in self:
                await replica.channel.close(None)

    def pick(self, model: str, kind: model_pb2.ModelKind.ValueType, excluded: Collection[Replica] = ()) -> Replica:
        """Returns the replica that answers a request: of two random ones that can, the one with the lower load.

        Args:
            model: a served name.
            kind: what the request needs the model to be.
            excluded: replicas that failed this request already.

        Raises:
            ApiError: WRONG_MODEL_KIND, MODEL_LOADING or MODEL_NOT_FOUND.
        """
        model = self.served_as(model)
        self._check_kind(model, kind)
        ready = [replica for replica in self if replica.serves(model) and replica not in excluded]
        if not ready:
            raise self._nobody(model)
        two = random.sample(ready, min(2, len(ready)))
        return min(two, key=lambda replica: replica.load(model))

    def serving(self, model: str, kind: model_pb2.ModelKind.ValueType) -> list[Replica]:
        """Returns all replicas that can answer a request. Raises `ApiError` as `pick`."""
        self._check_kind(model, kind)
        ready = [replica for replica in self if replica.serves(model)]
        if not ready:
            raise self._nobody(model)
        return ready

    def ready_models(self) -> dict[str, model_pb2.ModelDescription]:
        """Returns the names that can be asked for now, aliases included, in alphabetical order."""
        names = {name: s.model for replica in self for name, s in replica.models.items() if replica.serves(name)}
        return dict(sorted(names.items()))

    def states(self) -> dict[str, str]:
        """Returns `ready`, `loading`, `draining` or `failed` for every known model: the best that a replica says."""
        states = dict.fromkeys(self.expected_models, "loading")
        for name, status in ((s.model.name, s) for r in self if r.watched for s in r.models.values()):
            state = model_service_pb2.ModelState.Name(status.state).removeprefix("MODEL_STATE_").lower()
            states[name] = min(states.get(name, state), state, key=STATES.index)
        return dict(sorted(states.items()))

    def describe(self, model: str) -> model_pb2.ModelDescription:
        """Returns the description of a model that is ready. Raises `ApiError`: MODEL_LOADING or MODEL_NOT_FOUND."""
        for replica in self:
            if replica.serves(model):
                return replica.models[model].model
        raise self._nobody(model)

    def served_as(self, model: str) -> str:
        """Returns the base model's name for an adapter that no replica has and that those of the base load."""
        base, mark, _ = model.rpartition(":")
        if not mark or any(replica.serves(model) for replica in self):
            return model
        bases = (replica.models[base].model for replica in self if replica.serves(base))
        return base if any(model_pb2.CAPABILITY_ADAPTER_LOADING in found.capabilities for found in bases) else model

    def is_known(self, model: str) -> bool:
        """Whether a replica serves the name, has served it, or is meant to."""
        return model in self.expected_models or any(model in replica.models for replica in self)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns as soon as `condition()` holds; it is asked now and after each report of a replica."""
        while not condition():
            await self._changed.wait()

    def _check_kind(self, model: str, kind: model_pb2.ModelKind.ValueType) -> None:
        found = next((r.models[model].model.kind for r in self if model in r.models), kind)
        if found != kind:
            does, wanted = (KIND_NAMES.get(k, "something else") for k in (found, kind))
            raise ApiError("WRONG_MODEL_KIND", f"The model `{model}` does {does}, not {wanted}.", param="model")

    def _nobody(self, model: str) -> ApiError:
        if self.is_known(model):
            return ApiError("MODEL_LOADING", f"The model `{model}` is not ready yet. Try again soon.", retry_after_s=5)
        if not self.synced.is_set():
            return ApiError("MODEL_LOADING", "The server is starting. Try again soon.", retry_after_s=1)
        names = list(self.ready_models())
        shown = ", ".join(f"`{name}`" for name in names[:NAMES_IN_ERROR]) or "none at the moment"
        more = f" and {len(names) - NAMES_IN_ERROR} more" if len(names) > NAMES_IN_ERROR else ""
        return ApiError(
            "MODEL_NOT_FOUND", f"The model `{model[:256]}` does not exist. Served: {shown}{more}.", param="model"
        )

    async def _follow(self, discovery: Discovery) -> None:
        try:
            async for snapshot in discovery.watch():
                self._apply(snapshot)
        except Exception:
            log.exception("discovery has failed; the replicas stay as they are")

    def _apply(self, snapshot: Snapshot) -> None:
        self.expected_models = snapshot.expected_models
        for address in snapshot.addresses - self._replicas.keys():
            replica = Replica(address, self._open_channel(address))
            self._replicas[address] = replica
            self._watches[address] = asyncio.create_task(self._watch(replica))
        for address in self._replicas.keys() - snapshot.addresses:
            self._watches.pop(address).cancel()
            retiring = asyncio.create_task(_retire(self._replicas.pop(address)))
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)
        self._notify()

    async def _watch(self, replica: Replica) -> None:
        pause_s, longest_s = BACK_OFF_S
        while True:
            try:
                call = ModelServiceStub(replica.channel).Watch(model_service_pb2.WatchRequest())
                while isinstance(report := await asyncio.wait_for(call.read(), WATCH_SILENCE_S), WatchResponse):
                    replica.apply(report)
                    pause_s = BACK_OFF_S[0]
                    self._notify()
                log.info("replica %s has stopped", replica.name)
            except (grpc.aio.AioRpcError, TimeoutError) as error:
                reason = error.code().name if isinstance(error, grpc.aio.AioRpcError) else "silent"
                log.log(logging.WARNING if replica.watched else logging.DEBUG, "replica %s: %s", replica.name, reason)
            except Exception:
                log.exception("replica %s", replica.name)
            replica.watched, replica.asked = False, True
            self._notify()
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 (no secret)
            pause_s = min(pause_s * 2, longest_s)

    def _notify(self) -> None:
        if all(replica.asked for replica in self):
            self.synced.set()
        self._changed.set()
        self._changed = asyncio.Event()


async def _retire(replica: Replica) -> None:
    """Closes the channel of a replica that discovery no longer names, once the calls that run on it have ended."""
    try:
        await replica.idle.wait()
    finally:
        await replica.channel.close(None)
