"""One running instance of a service, as this edge knows it."""

import asyncio
import time

import grpc

from gpt_server.common.v1 import model_service_pb2
from gpt_server.common.v1.model_service_pb2 import WatchResponse
from gpt_server.edge.breaker import Breaker
from gpt_server.edge.routing import Candidate

DOUBT_S = 3.0
"""A replica reports every second; after this long without a word others are asked first."""
BROKEN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
    }
)
"""How calls end that say something of the replica, and not of the request."""


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
        breaker: opens when calls fail one after the other, though Watch is well.
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
        self.breaker = Breaker()
        self._reported_s = 0.0
        self._in_flight_then = 0

    def acquire(self) -> None:
        """Counts a call in."""
        self.breaker.sent(time.monotonic())
        self.in_flight += 1
        self.idle.clear()

    def release(self) -> None:
        """Counts a call out."""
        self.in_flight -= 1
        if not self.in_flight:
            self.idle.set()

    def ended(self, code: grpc.StatusCode) -> None:
        """Notes how a call ended, or that it has begun to answer (`OK`): for the breaker."""
        if code is grpc.StatusCode.OK:
            self.breaker.succeeded()
        elif code in BROKEN:
            self.breaker.failed(time.monotonic())

    def serves(self, model: str) -> bool:
        """Whether a request for `model` may be sent to it now."""
        status = self.models.get(model)
        return self.watched and status is not None and status.state == model_service_pb2.MODEL_STATE_READY

    def is_sound(self, now_s: float) -> bool:
        """Whether it is to be preferred to those that are not: it has spoken lately and answers what it is asked."""
        return now_s - self._reported_s < DOUBT_S and self.breaker.allows(now_s)

    def candidate(self, model: str) -> Candidate:
        """Returns what the choice between replicas of `model` needs to know.

        Its requests are those that it reported, those of other edges included, and what this edge has begun and ended
        since then.
        """
        status = self.models[model]
        since = self.in_flight - self._in_flight_then
        requests = max(self.in_flight, status.running + status.queued + since)
        return Candidate(self.address, requests, max(status.model.limits.max_running, 1))

    def apply(self, report: WatchResponse) -> None:
        """Takes over what it says of itself."""
        self.name, self.version = report.replica or self.address, report.version
        self.models = {name: status for status in report.models for name in (status.model.name, *status.model.aliases)}
        self.watched = self.asked = True
        self._reported_s = time.monotonic()
        self._in_flight_then = self.in_flight
