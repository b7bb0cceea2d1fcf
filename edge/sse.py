"""Server-sent events on the wire: one body chunk per message, keep-alive comments, late errors, aborted streams.

A stream that fails after its first byte ends with `data: {"error": ...}` and a connection that is cut: after a clean
end clients would take what they have for the whole answer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gpt_server.edge.context import exchange_of
from gpt_server.edge.errors import ApiError, ClientLeftError, internal_error
from gpt_server.edge.tasks import while_connected

Write = Callable[[bytes], Awaitable[None]]

GRACE_S = 1.0
"""How much later than the calls behind it a stream gives up: their error is the better one."""
KEEP_ALIVE = b": keep-alive\n\n"

log = logging.getLogger(__name__)


class EventStream(Response):
    """A streamed answer.

    Args:
        produce: writes all events, `[DONE]` included, through the function that it is given; each write returns when
            the connection can take more. It is cancelled when the caller leaves.
        close: called in the end, however it comes about.
        keep_alive_s: after this long without an event a comment is sent.
        limit_s: how long it may take; the deadline of the calls behind it.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        produce: Callable[[Write], Coroutine[Any, Any, None]],
        close: Callable[[], None],
        *,
        keep_alive_s: float,
        limit_s: float,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no"})
        self._produce = produce
        self._close = close
        self._keep_alive_s = keep_alive_s
        self._limit_s = limit_s
        self._last_write = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the answer. Without the last, empty piece of a body the server cuts the connection."""
        loop = asyncio.get_running_loop()

        async def write(events: bytes) -> None:
            if events:
                self._last_write = loop.time()
                await send({"type": "http.response.body", "body": events, "more_body": True})

        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if await self._events(scope, receive, write):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._close()

    async def _events(self, scope: Scope, receive: Receive, write: Write) -> bool:
        """Returns whether the stream is complete."""
        keep_alive = asyncio.create_task(self._stay_alive(write))
        try:
            async with asyncio.timeout(self._limit_s + GRACE_S):
                await while_connected(receive, self._produce(write))
        except TimeoutError:  # the caller does not read: the deadline has passed, and no word of it gets through
            exchange_of(scope).reason = "timeout"
            return False
        except ApiError as error:
            exchange_of(scope).reason = error.reason.lower()
            await write(self.late_error(error))
            return False
        except ClientLeftError:
            raise
        except Exception:
            exchange_of(scope).reason = "internal"
            log.exception("request %s failed in its stream", exchange_of(scope).request_id)
            await write(self.late_error(internal_error()))
            return False
        finally:
            keep_alive.cancel()
        return True

    def late_error(self, error: ApiError) -> bytes:
        """Returns what the caller is told of an error after the first byte."""
        return b"data: " + error.body + b"\n\n"

    async def _stay_alive(self, write: Write) -> None:
        loop = asyncio.get_running_loop()
        self._last_write = loop.time()
        while True:
            silent_s = loop.time() - self._last_write
            if silent_s >= self._keep_alive_s:
                await write(KEEP_ALIVE)
                silent_s = 0.0
            await asyncio.sleep(self._keep_alive_s - silent_s)
