"""What inputs are made of, in every modality: `gpt_server.common.v1.Part` and what is in it, as dataclasses."""

from dataclasses import dataclass
from typing import Literal

ImageDetail = Literal["low", "high"]


@dataclass(frozen=True, slots=True)
class Media:
    """An encoded file. `media_type` is empty when the caller did not say."""

    content: bytes
    media_type: str = ""
    filename: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """A picture in a message."""

    media: Media
    detail: ImageDetail | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a message's content: exactly one field is set."""

    text: str | None = None
    image: Image | None = None
    audio: Media | None = None
    file: Media | None = None
