"""Files that come in multipart forms: on the disk while they are here, and gone with the request."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from gpt_server.edge.bodies import JsonRoute, validated
from gpt_server.edge.errors import ApiError, ClientLeftError

FORM_TYPE = "multipart/form-data"
MAX_FILES = 20
MAX_FIELDS = 100
PIECE_BYTES = 256 * 1024
BRACKETED = re.compile(r"([^\[\]]+)\[([^\[\]]*)]")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a request."""

    file: BinaryIO
    filename: str
    size_bytes: int
    media_type: str = ""

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yields it from its beginning, whoever else reads it."""
        for begin in range(0, self.size_bytes, PIECE_BYTES):
            self.file.seek(begin)
            yield self.file.read(PIECE_BYTES)


class UploadRoute(JsonRoute):
    """A route whose endpoint takes `body` and `request`. The body is a multipart form, or JSON as for `JsonRoute`.

    Of a form, files are `Upload`s; `name[]` are the items of a list, `name[key]` those of an object.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request whose path has matched."""
        request = Request(scope, receive)
        is_form = request.headers.get("content-type", "").lower().startswith(FORM_TYPE)
        if not is_form or scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        try:
            async with request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS) as form:
                # All that a form holds is text: its numbers and booleans are read, not refused.
                body = validated(self.body_model, _fields(form), strict=False)
                response = await self.endpoint(body=body, request=request)
                await response(scope, receive, send)
        except ClientDisconnect:
            raise ClientLeftError from None
        except HTTPException as error:
            raise ApiError("INVALID_FIELD", f"The form cannot be read: {error.detail}") from None


def _fields(form: FormData) -> Mapping[str, Any]:
    """Returns the fields of a form as JSON would have them. Empty ones are unset."""
    fields: dict[str, Any] = {}
    for key, given in form.multi_items():
        value = _upload(given) if isinstance(given, UploadFile) else given
        if value == "":
            continue
        bracketed = BRACKETED.fullmatch(key)
        name, inner = bracketed.groups() if bracketed else (key, None)
        held = fields.get(name)
        if inner:
            fields[name] = {**(held if isinstance(held, dict) else {}), inner: value}
        elif inner is not None or held is not None:
            fields[name] = [*(held if isinstance(held, list) else [held] if held is not None else []), value]
        else:
            fields[name] = value
    return fields


def _upload(given: UploadFile) -> Upload:
    return Upload(given.file, given.filename or "", given.size or 0, given.content_type or "")
