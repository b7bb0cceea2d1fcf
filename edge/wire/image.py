"""Images as OpenAI writes them: whole answers, and events of a stream."""

import base64
import time
from collections.abc import Sequence
from typing import Any

import orjson

from gpt_server.common.v1 import usage_pb2
from gpt_server.edge.imaging import Image, Images
from gpt_server.edge.schemas.image import ImageBody
from gpt_server.image.v1 import image_service_pb2 as pb


def images_response(body: ImageBody, answer: Images, urls: Sequence[str] | None) -> bytes:
    """Returns the answer of a request that is not streamed; `urls`: where the images are, if they are not in it."""
    data: list[dict[str, Any]] = []
    for i, image in enumerate(answer.images):
        where = {"url": urls[i]} if urls is not None else {"b64_json": _base64(image.content)}
        data.append(where | {"seed": image.header.seed})
    return orjson.dumps(
        {
            "created": int(time.time()),
            "background": _background(body),
            "output_format": body.output_format,
            "size": _size(answer.images[0].header),
            "data": data,
            "usage": _usage(answer.finished.usage),
        }
    )


class ImageEvents:
    """Writes the events of one stream. `kind`: `image_generation` or `image_edit`."""

    def __init__(self, kind: str, body: ImageBody) -> None:
        self._kind = kind
        self._body = body
        self._last: Image | None = None

    def event(self, event: pb.Queued | pb.Progress | Image | pb.Finished) -> bytes:
        """Returns what is written of an event. Steps are comments: people see them, the SDKs do not.

        Usage is known at the end alone, and stands in the last image's event; so each image waits for the next.
        """
        if isinstance(event, pb.Queued):
            return f": {event.position} before this one\n\n".encode()
        if isinstance(event, pb.Progress):
            return f": step {event.step} of {event.steps}\n\n".encode()
        if isinstance(event, pb.Finished):
            return self._completed(event.usage)
        if event.is_preview:
            return self._image(event, "partial_image", {"partial_image_index": event.header.preview})
        before, self._last = self._completed(usage_pb2.Usage()), event
        return before

    def _completed(self, usage: usage_pb2.Usage) -> bytes:
        image, self._last = self._last, None
        return b"" if image is None else self._image(image, "completed", {"usage": _usage(usage)})

    def _image(self, image: Image, what: str, more: dict[str, Any]) -> bytes:
        kind = f"{self._kind}.{what}"
        document = {
            "type": kind,
            "b64_json": _base64(image.content),
            "background": self._body.background or "auto",
            "created_at": int(time.time()),
            "output_format": self._body.output_format,
            "quality": "auto",
            "size": _size(image.header),
            "image_index": image.number,
            "seed": image.header.seed,
        }
        return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(document | more) + b"\n\n"


def _usage(usage: usage_pb2.Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"text_tokens": usage.prompt_tokens, "image_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _background(body: ImageBody) -> str:
    return "transparent" if body.background == "transparent" else "opaque"


def _size(header: pb.ImageHeader) -> str:
    return f"{header.width_px}x{header.height_px}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
