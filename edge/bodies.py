"""How request bodies are read, and what is said about those that cannot be."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gpt_server.edge.errors import ApiError
from gpt_server.edge.schemas.base import UNSUPPORTED

T = TypeVar("T")

OBJECT_EXPECTED = ("model_type", "model_attributes_type", "dict_type")
TYPE_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
}


class _OrjsonRequest(Request):
    async def json(self) -> Any:
        """Reads the body as strict JSON: no NaN, no lone surrogates, which no proto could carry."""
        return orjson.loads(await self.body())


class JsonRoute(APIRoute):
    """A route whose body is read with orjson."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns FastAPI's own, called with another request class."""
        answer = super().get_route_handler()

        async def answer_orjson(request: Request) -> Response:
            return await answer(_OrjsonRequest(request.scope, request.receive))

        return answer_orjson


class BodyLimit:
    """ASGI middleware that refuses bodies of more than `max_bytes`, declared or not, without keeping them."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises `ApiError` PAYLOAD_TOO_LARGE."""
        received = 0

        def count(more: int) -> None:
            nonlocal received
            received += more
            if received > self._max_bytes:
                raise ApiError(
                    "PAYLOAD_TOO_LARGE", f"The request body is larger than {self._max_bytes} bytes, the most allowed."
                )

        async def counted() -> Message:
            message = await receive()
            count(len(message.get("body", b"")))
            return message

        declared = dict(scope.get("headers", ())).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._max_bytes:
            count(int(declared))
        await self._app(scope, counted, send)


def from_validation(error: RequestValidationError) -> ApiError:
    """Returns what is wrong with a body: its first fault, by OpenAI's path of the field."""
    fault = error.errors()[0]
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "json_invalid":
        return ApiError(
            "INVALID_FIELD", f"The body is not valid JSON: {context['error']} (at byte {fault['loc'][-1]})."
        )
    param = param_path([*fault["loc"][1:], *([context["param"]] if context.get("param") else [])])
    if kind == UNSUPPORTED:
        return ApiError("UNSUPPORTED_FEATURE", f"Unsupported parameter '{param}': {context['why']}", param=param)
    if kind == "missing":
        if not param:
            return ApiError("INVALID_FIELD", "The body is empty; send a JSON object.")
        return ApiError("INVALID_FIELD", f"Missing required parameter: '{param}'.", param=param)
    if not param:
        return ApiError("INVALID_FIELD", "The body must be a JSON object, sent with Content-Type: application/json.")
    text = "Input should be an object" if kind in OBJECT_EXPECTED else fault["msg"].rstrip(".")
    message = f"Invalid value for '{param}': {text}"
    if kind.endswith("_type") or (kind == "literal_error" and not isinstance(fault["input"], str)):
        message += f", but it is {TYPE_NAMES.get(type(fault['input']), 'something else')}"
    return ApiError("INVALID_FIELD", message + ".", param=param)


def param_path(steps: Sequence[int | str]) -> str:
    """Returns `messages[0].content` for `["messages", 0, "content"]`."""
    path = ""
    for step in steps:
        if step != "[key]":
            path += f"[{step}]" if isinstance(step, int) else step if step.startswith("[") else f".{step}"
    return path.removeprefix(".")
