"""Bodies that are forms with files (multipart/form-data), read into the same models as JSON.

A route of the class `FormRoute` takes both. Names are as the SDKs send them: `image[]` is the next item of a list,
`chunking_strategy[type]` a key of an object, a name that comes twice a list too. Text of a field whose model says that
it is a number or a boolean is read as one.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args, get_type_hints

import orjson
from aiohttp import BodyPartReader, MultipartReader, StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from gpt_server.edge.bodies import content_of, read_json, validated
from gpt_server.edge.errors import ApiError

MAX_PARTS = 200
NAME = re.compile(r"(\w+)(?:\[(\w*)])?")


@dataclass(frozen=True, slots=True)
class File:
    """A file of a form."""

    content: bytes
    filename: str = ""
    media_type: str = ""


class FormRoute(APIRoute):
    """A route like `JsonRoute` that takes forms as well. `body` is made from either."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request whose path has matched."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive)
        content_type, content = request.headers.get("content-type", ""), await content_of(request)
        if content_type.lower().startswith("multipart/form-data"):
            body = validated(self._model, await read_form(self._model, content_type, content))
        else:
            body = read_json(self._model, content_type, content)
        response = await self.endpoint(body=body, request=request)
        await response(scope, receive, send)

    @cached_property
    def _model(self) -> type[BaseModel]:
        model: type[BaseModel] = get_type_hints(self.endpoint)["body"]
        return model


async def read_form(model: type[BaseModel], content_type: str, content: bytes) -> dict[str, Any]:
    """Returns the fields of a form: texts, numbers and booleans as `model` has them, files as `File`.

    Raises:
        ApiError: it is malformed, or has more than `MAX_PARTS` parts.
    """
    found: dict[str, Any] = {}
    try:
        for name, value in [(name, value) async for name, value in _parts(content_type, content)]:
            _put(found, name, value if isinstance(value, File) else _typed(model, name, value))
    except (ValueError, AssertionError, EOFError, LookupError, HttpProcessingError) as error:
        raise ApiError("INVALID_FIELD", f"The body is no valid form: {_reason(error)}.") from None
    return found


def _reason(error: Exception) -> str:
    text = error.message if isinstance(error, HttpProcessingError) else str(error)
    return text.rstrip(".") or "it ends too early"


async def _parts(content_type: str, content: bytes) -> Any:
    stream = StreamReader(BaseProtocol(asyncio.get_running_loop()), limit=len(content) + 1)
    stream.feed_data(content)
    stream.feed_eof()
    reader = MultipartReader({"Content-Type": content_type}, stream)
    count = 0
    while (part := await reader.next()) is not None:
        count += 1
        if count > MAX_PARTS or not isinstance(part, BodyPartReader) or not part.name:
            raise ValueError(f"each of at most {MAX_PARTS} parts needs a name")
        value = bytes(await part.read())
        if part.filename is None:
            yield part.name, value.decode("utf-8")
        else:
            yield part.name, File(value, part.filename, part.headers.get("Content-Type", ""))


def _put(found: dict[str, Any], name: str, value: Any) -> None:
    match = NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name[:100]!r} is no name of a field")
    base, inner = match.groups()
    if inner:
        nested = found.setdefault(base, {})
        if not isinstance(nested, dict):
            raise ValueError(f"{base!r} is both a value and an object")
        nested[inner] = value
    elif inner is not None or base in found:
        earlier = found.get(base, [])
        found[base] = [*earlier, value] if isinstance(earlier, list) else [earlier, value]
    else:
        found[base] = value


def _typed(model: type[BaseModel], name: str, text: str) -> Any:
    base = name.partition("[")[0]
    kinds = set(_kinds(model.model_fields[base].annotation)) if base in model.model_fields else set()
    if kinds & {int, float, bool}:
        try:
            value = orjson.loads(text.strip().lower())
        except orjson.JSONDecodeError:
            return text
        return value if isinstance(value, int | float | bool) else text
    return text


def _kinds(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from _kinds(inner)
