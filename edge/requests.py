"""The outermost layer of every request: its id, its record, and the answer to whatever goes wrong inside."""

import asyncio
import logging
import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gpt_server.edge.errors import ApiError, ClientLeftError, error_response, internal_error
from gpt_server.edge.telemetry import Exchange, Telemetry
from gpt_server.edge.tracing import Tracing, valid_traceparent

SANE_REQUEST_ID = re.compile(r"[!-~]{1,128}")

log = logging.getLogger(__name__)


class Exchanges:
    """ASGI middleware: gives each request an id and a record, and answers errors with OpenAI's envelope."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry, tracing: Tracing) -> None:
        self._app = app
        self._telemetry = telemetry
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, whatever happens."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers.get("x-request-id", ""))
        scope["exchange"] = exchange = Exchange(request_id, scope["method"], scope["path"])
        exchange.traceparent = valid_traceparent(headers.get("traceparent", ""))
        span = self._tracing.begin(exchange)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self._guarded(scope, receive, send_with_id, exchange)
        finally:
            self._telemetry.ended(exchange)
            if span is not None:
                self._tracing.end(span, exchange)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        try:
            await self._app(scope, receive, send)
            return
        except ClientLeftError:
            exchange.reason = "client_left"
            return
        except ApiError as caught:
            error = caught
        except asyncio.CancelledError:  # only a server that stops cancels requests, after its patience
            error = ApiError("ENGINE_UNAVAILABLE", "The server is stopping.")
        except Exception:
            log.exception("request %s failed", exchange.request_id)
            error = internal_error()
        exchange.reason = error.reason.lower()
        if not exchange.status:
            await error_response(error)(scope, receive, send)


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Returns the envelope for what the framework refuses: unknown URLs and wrong methods."""
    assert isinstance(error, HTTPException)  # noqa: S101 (it is registered for nothing else)
    where = f"{request.method} {request.url.path}"
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        raise ApiError("METHOD_NOT_ALLOWED", f"{where}: this method is not allowed; allowed: {allowed}.")
    if error.status_code == 404:
        raise ApiError("UNKNOWN_URL", f"{where}: there is nothing at this URL.")
    raise ApiError("INVALID_REQUEST", str(error.detail))


def _request_id(given: str) -> str:
    return given if SANE_REQUEST_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"
