"""One pass around every call: who calls, request id, deadline, errors, metrics, access log.

Where tokens are wanted, every method but health wants one. From the rest of the pass health, reflection and `Watch` are
exempt: they run for as long as a channel lives. Servicers write streams as
async generators; the pass writes their messages itself, so that a cancelled call closes the generator before
the pass ends, and does not leave it to the garbage collector. A request over the message limit never gets here:
gRPC refuses it with a bare RESOURCE_EXHAUSTED, which carries no `ErrorInfo`.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc

from gpt_server.services.common import telemetry, tracing
from gpt_server.services.common.calls import Call, Calls, current_call
from gpt_server.services.common.errors import EngineUnavailable, ServiceError
from gpt_server.services.common.status import Internal, to_status
from gpt_server.services.common.tokens import Tokens

Context = Any  # grpc.aio.ServicerContext, whose stubs disagree with those of our services
HEALTH = "/grpc.health."
EXEMPT = (HEALTH, "/grpc.reflection.", "/gpt_server.common.v1.ModelService/Watch")
REQUEST_ID = "x-request-id"
MAX_REQUEST_ID = 128

log = logging.getLogger(__name__)
access_log = logging.getLogger("gpt_server.access")


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """The pass. `default_timeout_s`: deadline of calls that bring none, in seconds. `tokens`: of those who may call."""

    def __init__(self, calls: Calls, default_timeout_s: float, tokens: Tokens | None = None) -> None:
        self._calls = calls
        self._default_timeout_s = default_timeout_s
        self._tokens = tokens

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """Returns the method that gRPC found, inside the pass."""
        found = await continuation(details)
        if found is None:
            return found
        kind = "stream_" if found.request_streaming else "unary_"
        kind += "stream" if found.response_streaming else "unary"
        if self._tokens and not details.method.startswith(HEALTH) and self._caller(details) is None:
            return found._replace(**{kind: _refuse})
        if details.method.startswith(EXEMPT):
            return found
        inside = self._stream if found.response_streaming else self._unary
        return found._replace(**{kind: inside(details, getattr(found, kind))})

    def _caller(self, details: Any) -> str | None:
        """Returns the name of the caller's token: empty where none is wanted, `None` if it is not known."""
        return self._tokens.name_of(details.invocation_metadata or ()) if self._tokens else ""

    def _unary(self, details: Any, method: Callable[[Any, Context], Awaitable[Any]]) -> Callable[..., Any]:
        async def answer(request: Any, context: Context) -> Any:
            async with self._pass(details, context):
                return await method(request, context)

        return answer

    def _stream(self, details: Any, method: Callable[[Any, Context], AsyncGenerator[Any, None]]) -> Callable[..., Any]:
        async def answer(request: Any, context: Context) -> None:
            async with self._pass(details, context), aclosing(method(request, context)) as messages:
                async for message in messages:
                    await context.write(message)

        return answer

    @asynccontextmanager
    async def _pass(self, details: Any, context: Context) -> AsyncIterator[None]:
        limit_s = self._default_timeout_s if context.time_remaining() is None else None
        metadata = details.invocation_metadata or ()
        call = Call(_request_id(metadata), _method(details.method), asyncio.timeout(limit_s))
        call.key_name, call.trace_id = self._caller(details) or "", tracing.trace_id_of(metadata)
        current_call.set(call)
        began = time.monotonic()
        outcome = "INTERNAL"
        with tracing.span_of(call, metadata) as failed:
            try:
                with telemetry.IN_FLIGHT.labels(call.method).track_inprogress():
                    await context.send_initial_metadata(((REQUEST_ID, call.request_id),))
                    async with self._limits(call):
                        yield
                outcome = "OK"
            except ServiceError as error:
                outcome = error.reason
                await context.abort_with_status(to_status(error))
            except TimeoutError:
                outcome = "DEADLINE_EXCEEDED"
                message = f"the call brought no deadline and took longer than {self._default_timeout_s:g} s"
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, message)
            except (asyncio.CancelledError, grpc.aio.BaseError):
                outcome = "DEADLINE_EXCEEDED" if context.time_remaining() == 0 else "CANCELLED"
                raise
            finally:
                _record(call, outcome, time.monotonic() - began)
                failed += [outcome] if outcome != "OK" else []

    @asynccontextmanager
    async def _limits(self, call: Call) -> AsyncIterator[None]:
        """Ends the call at the default deadline or when the process says so, and hides what is unexpected.

        Raises:
            ServiceError: how the call failed.
            TimeoutError: the default deadline has passed.
        """
        try:
            async with call.timeout:
                with self._calls.running(call):
                    yield
        except (ServiceError, grpc.aio.BaseError):
            raise
        except Exception as error:
            if call.ended_by:
                raise EngineUnavailable(call.ended_by) from None
            if call.timeout.expired():
                raise TimeoutError from None
            log.exception("%s failed", call.method)
            raise Internal(f"internal error; the service's log has it under request id {call.request_id}") from error


async def _refuse(request: Any, context: Context) -> None:
    why = "a token that this service knows is needed, in the metadata: authorization: Bearer <token>"
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, why)


def _request_id(metadata: Any) -> str:
    """Returns the caller's request id, or a new one if there is none that can be used."""
    given = next((value for key, value in metadata if key == REQUEST_ID), "")
    return given if isinstance(given, str) and 0 < len(given) <= MAX_REQUEST_ID else uuid.uuid4().hex


def _method(path: str) -> str:
    """Returns `Service/Method` of `/package.v1.Service/Method`."""
    return path.rpartition(".")[2]


def _record(call: Call, outcome: str, duration_s: float) -> None:
    telemetry.REQUESTS.labels(call.method, call.model, call.key_name).inc()
    telemetry.REQUEST_SECONDS.labels(call.method, call.model).observe(duration_s)
    if outcome != "OK":
        telemetry.ERRORS.labels(call.method, call.model, outcome).inc()
    fields = {"model": call.model, "outcome": outcome, "duration_s": round(duration_s, 4)}
    if call.key_name:
        fields["key"] = call.key_name
    access_log.info("%s", call.method, extra={"fields": fields})
