"""How request bodies are read, and what is said about those that cannot be."""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import TypeVar, get_type_hints

import orjson
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gpt_server.edge.errors import ApiError, ClientLeftError
from gpt_server.edge.schemas.base import UNSUPPORTED

T = TypeVar("T", bound=BaseModel)

JSON_TYPE = re.compile(r"application/([\w.+-]+\+)?json\s*(;.*)?", re.IGNORECASE)
OBJECT_NEEDED = "The body must be a JSON object, sent with Content-Type: application/json."
OBJECT_EXPECTED = ("model_type", "model_attributes_type", "dict_type")
TYPE_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
}


class JsonRoute(APIRoute):
    """A route whose endpoint takes `body` and `request` and returns a `Response`.

    FastAPI documents it and finds it; it is answered here, in a fraction of the time. The body is strict JSON: no NaN,
    no lone surrogates, which no proto could carry.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request whose path has matched."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive)
        body = read_json(self.body_model, request.headers.get("content-type", ""), await content_of(request))
        response = await self.endpoint(body=body, request=request)
        await response(scope, receive, send)

    @cached_property
    def body_model(self) -> type[BaseModel]:
        """The type of the endpoint's `body`."""
        model: type[BaseModel] = get_type_hints(self.endpoint)["body"]
        return model


async def content_of(request: Request) -> bytes:
    """Returns a request's body. Raises `ClientLeftError`."""
    try:
        return await request.body()
    except ClientDisconnect:
        raise ClientLeftError from None


def read_json(model: type[T], content_type: str, content: bytes) -> T:
    """Returns the body that JSON holds. Raises `ApiError` INVALID_FIELD or UNSUPPORTED_FEATURE."""
    if not content:
        raise ApiError("INVALID_FIELD", "The body is empty; send a JSON object.")
    if not JSON_TYPE.fullmatch(content_type):
        raise ApiError("INVALID_FIELD", OBJECT_NEEDED)
    try:
        fields = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ApiError("INVALID_FIELD", f"The body is not valid JSON: {error.msg} (at byte {error.pos}).") from None
    return validated(model, fields)


def validated(model: type[T], fields: object, *, strict: bool | None = None) -> T:
    """Returns the body that some fields make; `strict`: as of pydantic. Raises `ApiError` as `read_json`."""
    try:
        return model.model_validate(fields, strict=strict)
    except ValidationError as error:
        raise from_validation(error) from None


class BodyLimit:
    """ASGI middleware that refuses bodies of more than `max_bytes`, declared or not, without keeping them.

    Forms, whose files go to the disk, may have `max_upload_bytes`.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_upload_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises `ApiError` PAYLOAD_TOO_LARGE."""
        received = 0
        headers = dict(scope.get("headers", ()))
        is_form = headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data")
        max_bytes = self._max_upload_bytes if is_form else self._max_bytes

        def count(more: int) -> None:
            nonlocal received
            received += more
            if received > max_bytes:
                message = f"The request body is larger than {max_bytes} bytes, the most allowed."
                raise ApiError("PAYLOAD_TOO_LARGE", message)

        async def counted() -> Message:
            message = await receive()
            count(len(message.get("body", b"")))
            return message

        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > max_bytes:
            count(int(declared))
        await self._app(scope, counted, send)


def from_validation(error: ValidationError) -> ApiError:
    """Returns what is wrong with a body: its first fault, by OpenAI's path of the field."""
    fault = error.errors(include_url=False)[0]
    kind, context = fault["type"], fault.get("ctx", {})
    param = param_path([*fault["loc"], *([context["param"]] if context.get("param") else [])])
    if kind == UNSUPPORTED:
        return ApiError("UNSUPPORTED_FEATURE", f"Unsupported parameter '{param}': {context['why']}", param=param)
    if kind == "missing":
        return ApiError("INVALID_FIELD", f"Missing required parameter: '{param}'.", param=param)
    if not param:
        return ApiError("INVALID_FIELD", OBJECT_NEEDED)
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
