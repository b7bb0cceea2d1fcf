"""What every image engine does: a suite over the contract in `services/image/engine.py`.

An engine's test module defines a fixture `subject` and a subclass. What a model's details say that it cannot do is
refused before an engine sees it (tests/services/test_image.py).
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from gpt_server.services.image.engine import (
    EngineConfig,
    Event,
    Finished,
    ImageEngine,
    Made,
    ModelDetails,
    Picture,
    Progress,
    Task,
)

SIDE_PX = 64


@dataclass(frozen=True)
class Subject:
    """A running engine and what it said of its model."""

    engine: ImageEngine
    details: ModelDetails


@asynccontextmanager
async def running(engine_type: type[ImageEngine], model: str, **config: Any) -> AsyncGenerator[Subject, None]:
    """Runs an engine until the block ends; its configuration is found right."""
    wanted = EngineConfig(model, **config)
    assert engine_type.check(wanted) == []
    engine = engine_type(wanted)
    try:
        yield Subject(engine, await engine.start())
    finally:
        await engine.close()


def task(subject: Subject, **fields: Any) -> Task:
    """A task that the model can do, of two steps: from a text if it can, else from an image."""
    wanted = Task("a red circle", [1], SIDE_PX, SIDE_PX, num_inference_steps=2)
    if "image_generation" not in subject.details.capabilities:
        wanted = replace(wanted, images=[noise(1)], edit_kind=next(iter(subject.details.edit_kinds)))
    return replace(wanted, **fields)


def noise(seed: int) -> Picture:
    """A picture of noise."""
    values = np.random.default_rng(seed).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    return Image.fromarray(values)


async def events(subject: Subject, wanted: Task) -> list[Event]:
    """Everything that happens to a task."""
    prepared = await subject.engine.prepare(wanted)
    assert (prepared.prompt_tokens > 0) == bool(wanted.prompt)
    return [event async for event in subject.engine.make(prepared)]


def images_of(found: Sequence[Event]) -> list[npt.NDArray[np.uint8]]:
    """The finished images, in the order of their places."""
    made = sorted((e for e in found if isinstance(e, Made) and e.preview is None), key=lambda event: event.image)
    return [np.asarray(event.picture) for event in made]


async def images(subject: Subject, wanted: Task) -> list[npt.NDArray[np.uint8]]:
    """The finished images of a task."""
    return images_of(await events(subject, wanted))


def same(first: Any, second: Any) -> bool:
    return bool(np.array_equal(first, second))


@pytest.mark.asyncio(loop_scope="session")
class ImageSuite:
    """Every kind of model."""

    async def test_steps_then_the_image_then_the_end(self, subject: Subject) -> None:
        found = await events(subject, task(subject, num_inference_steps=3))
        steps = [event for event in found if isinstance(event, Progress)]
        assert [event.step for event in steps] == list(range(1, steps[-1].steps + 1))
        assert isinstance(found[-1], Finished)
        assert found[-1].grid_places == (SIDE_PX // subject.details.size_multiple_px) ** 2
        assert [type(event) for event in found[-2:]] == [Made, Finished]
        assert images_of(found)[0].shape == (SIDE_PX, SIDE_PX, 3)

    async def test_an_image_depends_on_its_seed_and_on_nothing_else(self, subject: Subject) -> None:
        several = await images(subject, task(subject, seeds=[5, 6, 7]))
        assert same(several[1], (await images(subject, task(subject, seeds=[6])))[0])
        assert not same(several[0], several[1])

    async def test_the_prompt_matters(self, subject: Subject) -> None:
        first = (await images(subject, task(subject)))[0]
        assert not same(first, (await images(subject, task(subject, prompt="green square")))[0])

    async def test_the_size_is_what_was_asked_for(self, subject: Subject) -> None:
        (made,) = await images(subject, task(subject, width_px=96, height_px=64))
        assert made.shape == (64, 96, 3)

    async def test_previews(self, subject: Subject) -> None:
        assert subject.details.previews
        found = await events(subject, task(subject, num_inference_steps=5, previews=2))
        shown = [event for event in found if isinstance(event, Made)]
        assert [event.preview for event in shown] == [0, 1, None]
        assert {event.picture.size for event in shown} == {(SIDE_PX, SIDE_PX)}

    async def test_negative_prompt(self, subject: Subject) -> None:
        if not subject.details.negative_prompt:
            pytest.skip("the pipeline has no parameter for it; requests that set it are refused")
        plain, negative = [
            (await images(subject, task(subject, negative_prompt=text)))[0] for text in ("", "blue background")
        ]
        assert not same(plain, negative)

    async def test_every_way_to_edit(self, subject: Subject) -> None:
        for kind in subject.details.edit_kinds:
            mask = Image.new("L", (SIDE_PX, SIDE_PX), 0)
            mask.paste(255, (16, 16, 48, 48))
            wanted = task(subject, edit_kind=kind, mask=mask if kind == "inpaint" else None, num_inference_steps=4)
            first, second = [(await images(subject, replace(wanted, images=[noise(i)])))[0] for i in (1, 2)]
            assert not same(first, second), kind
            if kind == "inpaint":
                outside = np.asarray(mask) == 0
                assert same(first[outside], np.asarray(noise(1))[outside])
                assert not same(first[~outside], np.asarray(noise(1))[~outside])
            if kind != "instruction":
                weak, strong = [await events(subject, replace(wanted, images=[noise(1)], strength=s)) for s in (0.5, 1)]
                assert sum(isinstance(e, Progress) for e in weak) < sum(isinstance(e, Progress) for e in strong)

    async def test_several_images(self, subject: Subject) -> None:
        if subject.details.max_input_images < 2:
            pytest.skip("the pipeline takes one image; more are refused")
        wanted = task(subject, edit_kind="instruction")
        one, two = [(await images(subject, replace(wanted, images=[*map(noise, range(1, n))])))[0] for n in (2, 3)]
        assert not same(one, two)

    async def test_leaving_ends_the_work_between_steps(self, subject: Subject) -> None:
        prepared = await subject.engine.prepare(task(subject, num_inference_steps=200))
        async with aclosing(subject.engine.make(prepared)) as stream:
            async for event in stream:
                if isinstance(event, Progress):
                    break
        steps = self.steps_computed(subject)
        assert steps is None or steps < 20
        assert len(await images(subject, task(subject))) == 1

    def steps_computed(self, subject: Subject) -> int | None:
        """Steps of the last pass, if the engine can tell."""
        return None
