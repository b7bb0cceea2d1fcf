"""The replicas, what they say of themselves, and which of them answers a request.

A replica is in rotation while its `ModelService.Watch` stream lives and says that the model is ready: a stream that
breaks takes it out at once, one that answers again brings it back.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc

from gpt_server.common.v1 import model_pb2, model_service_pb2
from gpt_server.common.v1.model_service_pb2 import WatchResponse
from gpt_server.common.v1.model_service_pb2_grpc import ModelServiceStub
from gpt_server.edge.channels import Channels
from gpt_server.edge.discovery.base import Discovery, Snapshot
from gpt_server.edge.errors import ApiError
from gpt_server.edge.replica import Replica as Replica
from gpt_server.edge.routing import ANYWHERE, Affinity, Router

WATCH_SILENCE_S = 15.0
"""A replica reports every second; after this long without a word it counts as lost."""
BACK_OFF_S = (0.1, 2.0)
"""First and longest pause before a lost replica is asked again."""
CHANNEL_GRACE_S = 600.0
REFUSALS = ("UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED")
NAMES_IN_ERROR = 10

STATES = ("ready", "loading", "draining", "failed")
KIND_NAMES: Mapping[int, str] = {
    model_pb2.MODEL_KIND_LLM: "text generation",
    model_pb2.MODEL_KIND_EMBED: "embeddings, reranking or classification",
    model_pb2.MODEL_KIND_AUDIO: "transcription or speech",
    model_pb2.MODEL_KIND_IMAGE: "images",
}

log = logging.getLogger(__name__)


class ReplicaSet:
    """All replicas that discovery knows. `chosen` is told of each choice: the replica's name and the reason for it."""

    def __init__(
        self, channels: Channels, router: Router, chosen: Callable[[str, str], None] = lambda name, reason: None
    ) -> None:
        self.channels = channels
        self._router = router
        self._chosen = chosen
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

    def pick(
        self,
        model: str,
        kind: model_pb2.ModelKind.ValueType,
        excluded: Collection[Replica] = (),
        affinity: Affinity = ANYWHERE,
    ) -> Replica:
        """Returns the replica that answers a request; `routing.py` says which.

        Replicas that have not spoken for some seconds, or whose breaker is open, are asked only if there is no other.

        Args:
            model: a served name.
            kind: what the request needs the model to be.
            excluded: replicas that failed this request already.
            affinity: where it would best be answered.

        Raises:
            ApiError: WRONG_MODEL_KIND, MODEL_LOADING or MODEL_NOT_FOUND.
        """
        model = self.served_as(model)
        self._check_kind(model, kind)
        ready = [replica for replica in self if replica.serves(model) and replica not in excluded]
        if not ready:
            raise self._nobody(model)
        now_s = time.monotonic()
        sound = [replica for replica in ready if replica.is_sound(now_s)] or ready
        choice = self._router.choose([replica.candidate(model) for replica in sound], affinity)
        replica = self._replicas[choice.address]
        self._chosen(replica.name, choice.reason)
        return replica

    def has_other(self, model: str, failed: Collection[Replica]) -> bool:
        """Whether a replica that has not failed could answer."""
        model = self.served_as(model)
        return any(replica.serves(model) and replica not in failed for replica in self)

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
            replica = Replica(address, self.channels.open(address))
            self._replicas[address] = replica
            self._watches[address] = asyncio.create_task(self._watch(replica))
        for address in self._replicas.keys() - snapshot.addresses:
            self._watches.pop(address).cancel()
            self._retire(_close_when_idle(self._replicas.pop(address)))
        self._notify()

    async def _watch(self, replica: Replica) -> None:
        pause_s, longest_s = BACK_OFF_S
        version = self.channels.version
        while True:
            try:
                stub = ModelServiceStub(replica.channel)
                call = stub.Watch(model_service_pb2.WatchRequest(), metadata=self.channels.metadata)
                while isinstance(report := await asyncio.wait_for(call.read(), WATCH_SILENCE_S), WatchResponse):
                    replica.apply(report)
                    pause_s = BACK_OFF_S[0]
                    self._notify()
                log.info("replica %s has stopped", replica.name)
            except (grpc.aio.AioRpcError, TimeoutError) as error:
                reason = error.code().name if isinstance(error, grpc.aio.AioRpcError) else "silent"
                known = replica.watched or reason in REFUSALS
                log.log(logging.WARNING if known else logging.DEBUG, "replica %s: %s", replica.name, reason)
            except Exception:
                log.exception("replica %s", replica.name)
            replica.watched, replica.asked = False, True
            self._notify()
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 (no secret)
            pause_s = min(pause_s * 2, longest_s)
            if version != (version := self.channels.version):
                self._reopen(replica)

    def _reopen(self, replica: Replica) -> None:
        """Connects anew with credentials that have changed. Calls on the old channel may still end."""
        self._retire(replica.channel.close(CHANNEL_GRACE_S))
        replica.channel = self.channels.open(replica.address)

    def _retire(self, closing: Coroutine[Any, Any, None]) -> None:
        retiring = asyncio.create_task(closing)
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    def _notify(self) -> None:
        if all(replica.asked for replica in self):
            self.synced.set()
        self._changed.set()
        self._changed = asyncio.Event()


async def _close_when_idle(replica: Replica) -> None:
    """Closes the channel of a replica that discovery no longer names, once the calls that run on it have ended."""
    try:
        await replica.idle.wait()
    finally:
        await replica.channel.close(None)
