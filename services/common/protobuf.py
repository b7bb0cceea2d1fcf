"""Protobuf -> plain values, for the requests of every modality. Names are the same on both sides."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message as ProtoMessage

from gpt_server.common.v1 import media_pb2
from gpt_server.services.common.content import Image, ImageDetail, Media, Part
from gpt_server.services.common.errors import InvalidField

IMAGE_DETAILS: Mapping[int, ImageDetail] = {
    media_pb2.IMAGE_DETAIL_LOW: "low",
    media_pb2.IMAGE_DETAIL_HIGH: "high",
}

T = TypeVar("T")
P = TypeVar("P", bound=ProtoMessage)


def part(message: media_pb2.Part, path: str) -> Part:
    """Returns a part. Raises `InvalidField`: nothing is set in it, or an enum has no allowed value."""
    name = one_of(message, "content", path)
    if name == "text":
        return Part(text=message.text)
    if name == "image":
        detail = optional_enum(message.image, "detail", IMAGE_DETAILS, f"{path}.image.detail")
        return Part(image=Image(media(message.image.media), detail))
    return Part(audio=media(message.audio)) if name == "audio" else Part(file=media(message.file))


def media(message: media_pb2.Media) -> Media:
    """Returns a file."""
    return Media(message.content, message.media_type, message.filename)


def optional(message: ProtoMessage, field: str) -> Any:
    """Returns a field, or `None` if it is unset."""
    return getattr(message, field) if message.HasField(field) else None


def if_set(message: ProtoMessage, field: str, value: P, convert: Callable[[P], T]) -> T | None:
    """Returns a converted submessage, or `None` if it is unset."""
    return convert(value) if message.HasField(field) else None


def plain(value: Any) -> Any:
    """Returns a repeated field as a tuple, a map as a dict, anything else as it is."""
    if isinstance(value, Mapping):
        return dict(value)
    return value if isinstance(value, int | float | str) else tuple(value)


def one_of(message: ProtoMessage, oneof: str, path: str) -> str:
    """Returns which member of a oneof is set. Raises `InvalidField`: none is."""
    name: str | None = message.WhichOneof(oneof)
    if name is None:
        allowed = ", ".join(field.name for field in message.DESCRIPTOR.oneofs_by_name[oneof].fields)
        raise InvalidField(path, f"exactly one of these must be set: {allowed}")
    return name


def enum(value: int, names: Mapping[int, T], path: str) -> T:
    """Returns the name of an enum's value. Raises `InvalidField`: it has none."""
    if value not in names:
        raise InvalidField(path, f"must be one of {', '.join(map(str, names.values()))}")
    return names[value]


def optional_enum(message: ProtoMessage, field: str, names: Mapping[int, T], path: str) -> T | None:
    """Returns the name of an enum's value, or `None` if it is unset. Raises `InvalidField`: it has none."""
    return enum(getattr(message, field), names, path) if message.HasField(field) else None
