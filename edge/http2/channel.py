"""A channel to one service: connected when it is first used, and again when it was lost."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from gpt_server.edge.http2.call import Call, failure
from gpt_server.edge.http2.connection import AnyCall, Connection
from gpt_server.edge.http2.headers import encode, encode_fixed

Response = TypeVar("Response", bound=Message)
CONNECT_TIMEOUT_S = 20.0
Metadata = Sequence[tuple[str, str]]


class Channel:
    """A channel.

    Args:
        address: `host:port`, an IPv6 host in brackets.
        tls: how to secure it; plain text if `None`.
        server_name: that the service's certificate must have; the host if `None`.
    """

    def __init__(self, address: str, tls: ssl.SSLContext | None = None, server_name: str | None = None) -> None:
        self._address = address
        self._tls = tls
        self._server_name = server_name
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._waiting: list[AnyCall] = []
        self._fixed_headers: dict[str, bytes] = {}
        #: Set when it was closed; calls fail from then on.
        self.closed = asyncio.Event()

    def stream(
        self,
        path: str,
        request: Message,
        response: type[Response],
        *,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Call[Response]:
        """Begins a call of a method with many responses.

        Args:
            path: `/package.Service/Method`.
            request: the one request.
            response: class of the responses.
            timeout_s: after which the call fails with DEADLINE_EXCEEDED. `None`: none.
            metadata: pairs of ASCII text.
        """
        if (fixed := self._fixed_headers.get(path)) is None:
            fixed = encode_fixed(path, self._server_name or self._address, secure=self._tls is not None)
            self._fixed_headers[path] = fixed
        headers = fixed + encode([*_timeout(timeout_s), *metadata])
        call = Call(headers, request.SerializeToString(), response.FromString, timeout_s)
        self._begin(call)
        return call

    async def ask(
        self, path: str, request: Message, response: type[Response], *, timeout_s: float, metadata: Metadata = ()
    ) -> Response:
        """Returns the response of a method that has one; arguments as for `stream`.

        Raises:
            grpc.aio.AioRpcError: the call has failed.
        """
        call = self.stream(path, request, response, timeout_s=timeout_s, metadata=metadata)
        try:
            message = await call.read()
            await call.read()  # the status
        finally:
            call.cancel()
        if message is None:
            raise failure(grpc.StatusCode.INTERNAL, "ended without a response")
        return message

    async def close(self) -> None:
        """Closes the connection; calls that run fail."""
        self.closed.set()
        if self._connecting is not None:
            self._connecting.cancel()
        self._fail_waiting("the channel was closed")
        if self._connection is not None:
            self._connection.close()

    def _begin(self, call: AnyCall) -> None:
        if self._connection is not None and self._connection.open:
            self._connection.begin(call)
            return
        if self.closed.is_set():
            call.fail(grpc.StatusCode.UNAVAILABLE, "the channel was closed")
            return
        self._waiting.append(call)
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        host, _, port = self._address.rpartition(":")
        host = host.strip("[]")
        name = (self._server_name or host) if self._tls else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(
                    Connection, host, int(port), ssl=self._tls, server_hostname=name
                )
        except (OSError, ValueError) as error:  # time-outs and bad certificates are such, too
            self._fail_waiting(f"cannot connect: {error}")
            return
        finally:
            self._connecting = None
        self._connection = connection
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            if not call.ended:
                connection.begin(call)

    def _fail_waiting(self, why: str) -> None:
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call.fail(grpc.StatusCode.UNAVAILABLE, why)


def _timeout(seconds: float | None) -> Metadata:
    """gRPC's header of the deadline: at most eight digits and a unit."""
    if seconds is None:
        return ()
    milliseconds = max(1, round(seconds * 1000))
    return (("grpc-timeout", f"{milliseconds}m" if milliseconds < 10**8 else f"{milliseconds // 1000}S"),)
