"""The demo's model for images, as callers use it: the SDK through the edge, and gRPC without it."""

import base64
import io
from collections.abc import AsyncIterator

import grpc
import numpy as np
import openai
import pytest
import pytest_asyncio
from PIL import Image

from gpt_server.image.v1 import image_service_pb2_grpc
from tests.services.image_asking import answer, edit, generate
from tests.support.stack import RunningStack

pytestmark = pytest.mark.asyncio(loop_scope="session")
PROMPT = "a red circle on a blue background"


@pytest_asyncio.fixture(loop_scope="session")
async def client(demo: RunningStack) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{demo.url}/v1", api_key="none") as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def stub(demo: RunningStack) -> AsyncIterator[image_service_pb2_grpc.ImageServiceStub]:
    async with grpc.aio.insecure_channel(str(demo.children()["demo-image-0"]["grpc"])) as channel:
        yield image_service_pb2_grpc.ImageServiceStub(channel)


def decoded(image: openai.types.Image) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(image.b64_json or "")))


async def test_the_background_has_the_colour_that_was_asked_for(client: openai.AsyncOpenAI) -> None:
    made = await client.images.generate(model="demo-image", prompt=PROMPT, extra_body={"seed": 1})
    assert made.data
    picture = decoded(made.data[0])
    assert picture.size == (128, 128)
    red, green, blue = np.asarray(picture)[:8].mean(axis=(0, 1))
    assert blue > max(red, green) + 60


async def test_inpainting_changes_the_mask_alone(client: openai.AsyncOpenAI) -> None:
    made = await client.images.generate(model="demo-image", prompt=PROMPT, extra_body={"seed": 1})
    assert made.data
    before = base64.b64decode(made.data[0].b64_json or "")
    mask = Image.new("RGBA", (128, 128), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (24, 24, 104, 104))
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    changed = await client.images.edit(
        model="demo-image",
        image=("a.png", before),
        mask=("m.png", buffer.getvalue()),
        prompt="a yellow star on a green background",
        extra_body={"seed": 2, "strength": 1},
    )
    assert changed.data
    first, second = np.asarray(Image.open(io.BytesIO(before)), int), np.asarray(decoded(changed.data[0]), int)
    outside = np.asarray(mask)[:, :, 3] == 255
    assert np.array_equal(first[outside], second[outside])
    assert np.abs(first[~outside] - second[~outside]).mean() > 20


async def test_progress_over_grpc(stub: image_service_pb2_grpc.ImageServiceStub) -> None:
    found = await answer(stub.Generate(generate(PROMPT, "demo-image", n=2, preview_images=2, seed=3)))
    assert found.steps == [(i, 24) for i in range(1, 25)]
    assert len(found.previews) == 4
    assert [header.seed for header, _ in found.images] == [3, 4]
    again = await answer(stub.Generate(generate(PROMPT, "demo-image", seed=4)))
    assert again.images[0][1] == found.images[1][1]


async def test_variations_over_grpc(stub: image_service_pb2_grpc.ImageServiceStub) -> None:
    first = await answer(stub.Generate(generate(PROMPT, "demo-image", seed=5)))
    found = await answer(stub.Edit(edit("", [first.images[0][1]], model="demo-image")))
    assert found.picture().size == (128, 128)
