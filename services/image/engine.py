"""What an image engine is: the whole contract between gRPC and a library.

The dataclasses mirror `gpt_server.image.v1` field by field, under the same names; a test compares them. `None` means
unset, wherever the message's comment says what unset means. No protobuf and no gRPC here.

Pictures are `PIL.Image.Image` on both sides. Reading and writing files (their limits, rotation, formats) is the same
for all engines, in `pictures.py`.
"""

from abc import abstractmethod
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from PIL import Image as Pillow

from gpt_server.services.common.content import Media as Media
from gpt_server.services.common.engines import Engine
from gpt_server.services.common.engines import EngineConfig as EngineConfig
from gpt_server.services.common.engines import Problem as Problem

Picture: TypeAlias = Pillow.Image
ImageFormat = Literal["png", "jpeg", "webp"]
EditKind = Literal["instruction", "image_to_image", "inpaint"]
Capability = Literal["image_generation", "image_edit", "image_inpaint", "image_variation"]


@dataclass(frozen=True, slots=True)
class Options:
    """How images are made."""

    negative_prompt: str = ""
    width_px: int | None = None
    height_px: int | None = None
    n: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    true_cfg_scale: float | None = None
    seed: int | None = None
    format: ImageFormat | None = None
    quality: int | None = None
    transparent_background: bool | None = None
    preview_images: int | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """A text to make images from."""

    model: str
    prompt: str
    options: Options = Options()


@dataclass(frozen=True, slots=True)
class EditRequest:
    """Images, and a text, to make images from."""

    model: str
    prompt: str
    images: Sequence[Media]
    options: Options = Options()
    mask: Media | None = None
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """Images that an engine is to make. Found valid as far as the model's details say.

    Attributes:
        prompt: the text; empty for variations.
        seeds: one for each image.
        width_px, height_px: of each image.
        images: what is edited, RGB; none: they are made from the text.
        mask: as large as the first of `images`, "L", 255 where it may change.
        edit_kind: how it is edited; `None` without `images`.
        previews: of each image.
        priority: lower goes first.
        adapter: key of the adapter, if one was asked for.
    """

    prompt: str
    seeds: Sequence[int]
    width_px: int
    height_px: int
    negative_prompt: str = ""
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    true_cfg_scale: float | None = None
    images: Sequence[Picture] = ()
    mask: Picture | None = None
    edit_kind: EditKind | None = None
    strength: float | None = None
    previews: int = 0
    priority: int = 0
    adapter: str | None = None


@dataclass(slots=True)
class Prepared:
    """A task that was found valid. Engines subclass it to carry more."""

    task: Task
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Queued:
    """It waits for `position` others."""

    position: int


@dataclass(frozen=True, slots=True)
class Progress:
    """So many steps are done, of so many in all."""

    step: int
    steps: int


@dataclass(frozen=True, slots=True)
class Made:
    """An image, or a preview of one. `image`: its place in the task's seeds. `preview`: which one, from 0."""

    image: int
    picture: Picture
    preview: int | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, in seconds. The servicer adds the time in the service's own queue to `queue_s`."""

    queue_s: float = 0.0
    compute_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Finished:
    """All images were made. `grid_places`: of the latent grid of all images."""

    grid_places: int
    timings: Timings


Event: TypeAlias = Queued | Progress | Made | Finished


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """What a loaded model is.

    Attributes:
        default_guidance_scale: `None` if the model knows none.
        max_pixels: of one image.
        max_input_images: of an edit; 0 if it does not edit.
        max_input_pixels: of one input image, before it is decoded.
        negative_prompt: whether it can be told what not to show.
        true_cfg_scale: whether it has that guidance, beside another.
    """

    capabilities: frozenset[Capability]
    default_width_px: int
    default_height_px: int
    size_multiple_px: int
    default_num_inference_steps: int
    default_guidance_scale: float | None = None
    max_pixels: int = 4 * 1024 * 1024
    edit_kinds: frozenset[EditKind] = frozenset()
    max_input_images: int = 0
    max_input_pixels: int = 64 * 1024 * 1024
    negative_prompt: bool = False
    true_cfg_scale: bool = False
    previews: bool = False
    transparent_background: bool = False


class ImageEngine(Engine[ModelDetails]):
    """Runs one model in this process."""

    @abstractmethod
    async def prepare(self, task: Task) -> Prepared:
        """Validates a task as far as it depends on the library. Computes no image.

        Raises:
            InvalidField: a value is not allowed.
            UnsupportedFeature: the engine cannot honour something that is set.
        """

    @abstractmethod
    def make(self, prepared: Prepared) -> AsyncGenerator[Event, None]:
        """Yields what happens, `Finished` last.

        Closing the generator, at any time, ends the work after the step that is being computed; it returns when the
        device is free of it.

        Raises:
            EngineUnavailable: the engine has died.
        """
