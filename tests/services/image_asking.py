"""Requests to the fake model of an image service, and their answers, in few words."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from gpt_server.common.v1 import media_pb2
from gpt_server.image.v1 import image_service_pb2 as pb

LIMIT_S = 10.0  # only so that a failure ends


def generate(prompt: str = "a cat", model: str = "fake-image", **options: Any) -> pb.GenerateRequest:
    """A request for images from a text."""
    return pb.GenerateRequest(model=model, prompt=prompt, options=pb.Options(**options))


def png(width: int = 64, height: int = 64, colour: Any = "red", mode: str = "RGB", **save: Any) -> bytes:
    """A picture of one colour, as a PNG file."""
    buffer = io.BytesIO()
    Image.new(mode, (width, height), colour).save(buffer, "PNG", **save)
    return buffer.getvalue()


def edit(
    prompt: str = "make it blue",
    images: Sequence[bytes] = (),
    mask: bytes | None = None,
    strength: float | None = None,
    model: str = "fake-image",
    **options: Any,
) -> pb.EditRequest:
    """A request for images from images; from a red one unless told otherwise."""
    return pb.EditRequest(
        model=model,
        prompt=prompt,
        images=[media_pb2.Media(content=content) for content in images or [png()]],
        mask=None if mask is None else media_pb2.Media(content=mask),
        strength=strength,
        options=pb.Options(**options),
    )


@dataclass
class Answer:
    """A stream, taken apart. `images` and `previews`: files in the order in which they ended, with their headers."""

    kinds: list[str] = field(default_factory=list)
    images: list[tuple[pb.ImageHeader, bytes]] = field(default_factory=list)
    previews: list[tuple[pb.ImageHeader, bytes]] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    started: pb.Started = field(default_factory=pb.Started)
    finished: pb.Finished = field(default_factory=pb.Finished)

    def picture(self, number: int = 0) -> Image.Image:
        """An image, decoded."""
        return Image.open(io.BytesIO(self.images[number][1]))


async def answer(call: Any) -> Answer:
    """Reads a call of `Generate` or `Edit` to its end."""
    found, header, content = Answer(), pb.ImageHeader(), b""
    async for message in call:
        kind = message.WhichOneof("event") or ""
        found.kinds.append(kind)
        if kind == "started":
            found.started = message.started
        elif kind == "queued":
            found.positions.append(message.queued.position)
        elif kind == "progress":
            found.steps.append((message.progress.step, message.progress.steps))
        elif kind == "finished":
            found.finished = message.finished
        else:
            part = message.image_part
            assert len(part.content) <= 1024 * 1024
            if part.HasField("header"):
                header, content = part.header, b""
            content += part.content
            if part.last:
                assert len(content) == header.content_bytes
                (found.previews if header.HasField("preview") else found.images).append((header, content))
    return found
