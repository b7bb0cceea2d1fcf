"""Pictures by rule, no model: a colour that prompt and seed give. For tests of everything around engines.

An edit is the image with that colour mixed in, inside the mask alone if there is one. A prompt `{"fake": {...}}`
scripts a fault; the keys are the fields of `Script`. Tests in the same process can hold all requests at a gate, and
await what they need: `gates`, `idle`, `steps_done`.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncGenerator, Sequence

from PIL import Image as Pillow
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gpt_server.services.common.admission import Admission
from gpt_server.services.common.errors import EngineUnavailable, InvalidField
from gpt_server.services.common.gates import Gate
from gpt_server.services.image.engine import (
    Capability,
    EngineConfig,
    Event,
    Finished,
    ImageEngine,
    Made,
    ModelDetails,
    Picture,
    Prepared,
    Problem,
    Progress,
    Queued,
    Task,
    Timings,
)

PHASES = ("prepare", "step")
MULTIPLE_PX = 8
NO_LIMIT = 1_000_000


class Script(BaseModel):
    """What a prompt asks for under the key `fake`. `crash`: an unexpected error; `die`: the engine has died."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fail_after: int | None = None
    crash: bool = False
    die: bool = False


class EngineArgs(BaseModel):
    """What `engine_args` may hold; times in seconds. `load_error`: `start` fails with it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    step_s: float = Field(default=0.0, ge=0)
    load_s: float = Field(default=0.0, ge=0)
    load_error: str = ""
    edits: bool = True
    generates: bool = True
    max_input_images: int = Field(default=4, ge=1)


class FakeEngine(ImageEngine):
    """The engine. `engine_args`: see `EngineArgs`."""

    name = "fake"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self.gates = {phase: Gate() for phase in PHASES}
        self.idle = asyncio.Event()
        """Set while the device computes nothing."""
        self.idle.set()
        self.steps_done = 0
        """Steps computed so far."""
        self._args = EngineArgs.model_validate(config.engine_args)
        self._device = Admission(max_running=1, max_queued=NO_LIMIT)

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        """Returns unknown arguments and such of a wrong type."""
        try:
            EngineArgs.model_validate(config.engine_args)
        except ValidationError as error:
            return [Problem(f"engine_args.{fault['loc'][0]}", fault["msg"]) for fault in error.errors()]
        return []

    async def start(self) -> ModelDetails:
        """Waits for `load_s`, and fails if `load_error` says so."""
        await asyncio.sleep(self._args.load_s)
        if self._args.load_error:
            raise RuntimeError(self._args.load_error)
        edits = self._args.edits
        edit_abilities: set[Capability] = {"image_edit", "image_inpaint", "image_variation"} if edits else set()
        makes: set[Capability] = {"image_generation"} if self._args.generates else set()
        return ModelDetails(
            capabilities=frozenset(edit_abilities | makes),
            default_width_px=64,
            default_height_px=64,
            size_multiple_px=MULTIPLE_PX,
            default_num_inference_steps=4,
            default_guidance_scale=3.5,
            max_pixels=1024 * 1024,
            edit_kinds=frozenset({"instruction", "image_to_image", "inpaint"}) if edits else frozenset(),
            max_input_images=self._args.max_input_images if edits else 0,
            max_input_pixels=1024 * 1024,
            negative_prompt=True,
            previews=True,
        )

    async def close(self) -> None:
        """Does nothing."""

    async def prepare(self, task: Task) -> Prepared:
        """Counts words."""
        await self.gates["prepare"].passed()
        _script(task.prompt)
        return Prepared(task, len(task.prompt.split()))

    async def make(self, prepared: Prepared) -> AsyncGenerator[Event, None]:
        """Makes one image after the other; each is a turn of the device."""
        task, script = prepared.task, _script(prepared.task.prompt)
        steps = task.num_inference_steps or 4
        waited_s = computed_s = 0.0
        for number, seed in enumerate(task.seeds):
            arrived_s = time.monotonic()
            with self._device.enter(priority=task.priority) as ticket:
                async for position in self._device.positions(ticket):
                    yield Queued(position)
                began_s = time.monotonic()
                self.idle.clear()
                try:
                    for step in range(steps):
                        await self._step(script, number * steps + step)
                        yield Progress(number * steps + step + 1, steps * len(task.seeds))
                        if step < min(task.previews, steps - 1):
                            yield Made(number, _picture(task, seed, 1 / (step + 2)), preview=step)
                    yield Made(number, _picture(task, seed, 1.0))
                finally:
                    self.idle.set()
                waited_s += began_s - arrived_s
                computed_s += time.monotonic() - began_s
        places = (task.width_px // MULTIPLE_PX) * (task.height_px // MULTIPLE_PX) * len(task.seeds)
        yield Finished(places, Timings(waited_s, computed_s))

    async def _step(self, script: Script, done: int) -> None:
        await self.gates["step"].passed()
        await asyncio.sleep(self._args.step_s)
        if script.die:
            self.died.set()
        if script.die or script.fail_after == done or self.died.is_set():
            raise EngineUnavailable("the engine has failed, as scripted")
        if script.crash:
            raise RuntimeError("secret: the engine has crashed, as scripted")
        self.steps_done += 1


def _picture(task: Task, seed: int, strength: float) -> Picture:
    size = task.width_px, task.height_px
    words = f"{task.prompt} {task.negative_prompt} {task.num_inference_steps} {task.guidance_scale} {seed}"
    colour = tuple(hashlib.sha256(words.encode()).digest()[:3])
    plain = Pillow.new("RGB", size, colour)
    ground = task.images[0].resize(size) if task.images else Pillow.new("RGB", size, "gray")
    changed = Pillow.blend(ground, plain, strength * (0.5 if task.images else 1.0))
    return Pillow.composite(changed, ground, task.mask) if task.mask else changed


def _script(prompt: str) -> Script:
    if not prompt.startswith('{"fake":'):
        return Script()
    try:
        return Script.model_validate(json.loads(prompt)["fake"])
    except (ValueError, ValidationError) as error:
        raise InvalidField("prompt", f"not a script of the fake engine: {error}") from None
