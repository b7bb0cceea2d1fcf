"""The bodies of requests for images."""

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, InstanceOf, model_validator

from gpt_server.edge.schemas.base import Body, FieldTable, Int32, Int64, Json, invalid
from gpt_server.edge.schemas.image_fields import EDIT_FIELDS, GENERATION_FIELDS, VARIATION_FIELDS
from gpt_server.edge.uploads import Upload

SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


class ImageReference(Json):
    """Where a picture is, as OpenAI writes it in JSON: an http(s) or data URL."""

    image_url: str


Picture = InstanceOf[Upload] | str | ImageReference
"""A file of a form, or a URL."""


def _many(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Pictures = Annotated[list[Picture], BeforeValidator(_many, json_schema_input_type=Picture | list[Picture])]


class ImageBody(Body):
    """What all three routes share. `model` unset: the only one that does it."""

    model: str | None = None
    n: Int32 | None = None
    size: str | None = None
    response_format: Literal["b64_json", "url"] = "b64_json"
    output_format: Literal["png", "jpeg", "webp"] = "png"
    output_compression: Int32 | None = None
    background: Literal["auto", "opaque", "transparent"] | None = None
    seed: Int64 | None = None
    num_inference_steps: Int32 | None = None
    guidance_scale: float | None = None
    true_cfg_scale: float | None = None
    priority: Int32 | None = None

    @model_validator(mode="after")
    def _has_a_size(self) -> "ImageBody":
        if self.size not in (None, "auto") and not SIZE.fullmatch(str(self.size)):
            raise invalid("Input should be 'auto' or width and height in pixels, like '1024x1024'", "size")
        return self

    @property
    def size_px(self) -> tuple[int, int] | None:
        """Width and height; `None`: the model's choice."""
        match = SIZE.fullmatch(self.size or "")
        return (int(match[1]), int(match[2])) if match else None


class TextBody(ImageBody):
    """What generations and edits share."""

    prompt: str
    negative_prompt: str | None = None
    stream: bool = False
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = None

    @model_validator(mode="after")
    def _streams_files(self) -> "TextBody":
        if self.stream and self.response_format == "url":
            raise invalid("A stream carries images; leave it out, or ask for 'b64_json'", "response_format")
        return self


class GenerationRequest(TextBody):
    """The body of POST /v1/images/generations."""

    fields: ClassVar[FieldTable] = GENERATION_FIELDS


class EditRequest(TextBody):
    """The body of POST /v1/images/edits, a form or JSON."""

    fields: ClassVar[FieldTable] = EDIT_FIELDS

    image: Pictures | None = None
    images: Pictures | None = None
    mask: Picture | None = None
    strength: float | None = None

    @model_validator(mode="after")
    def _has_an_image(self) -> "EditRequest":
        if bool(self.image) == bool(self.images):
            raise invalid("Exactly one of 'image' and 'images' is required, with one picture or more", "image")
        return self


class VariationRequest(ImageBody):
    """The body of POST /v1/images/variations, a form or JSON."""

    fields: ClassVar[FieldTable] = VARIATION_FIELDS

    image: Picture
    strength: float | None = None
