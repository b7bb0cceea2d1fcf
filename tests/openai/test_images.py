"""openai's SDK against the image routes: what it sends is understood, what it gets is what its types say."""

import base64
import io
from collections.abc import AsyncIterator

import openai
import pytest
from PIL import Image

from tests.services.image_asking import png
from tests.support.edge import edge_server
from tests.support.service import image_service

KEY = "sk-test"


@pytest.fixture
async def client() -> AsyncIterator[openai.AsyncOpenAI]:
    """A client that refuses answers which are not as OpenAI's specification has them."""
    async with (
        image_service() as service,
        edge_server([service.address], api_keys=KEY) as edge,
        openai.AsyncOpenAI(
            base_url=f"{edge.url}/v1", api_key=KEY, max_retries=0, _strict_response_validation=True
        ) as opened,
    ):
        yield opened


def decoded(b64_json: str | None) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(b64_json or "")))


async def test_generate(client: openai.AsyncOpenAI) -> None:
    made = await client.images.generate(
        model="fake-image",
        prompt="a cat",
        n=2,
        size="256x256",
        quality="high",
        output_format="jpeg",
        output_compression=80,
        background="opaque",
        moderation="low",
        user="me",
    )
    assert made.data
    assert [decoded(image.b64_json).size for image in made.data] == [(256, 256)] * 2
    assert (made.size, made.output_format) == ("256x256", "jpeg")
    assert made.usage
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens


async def test_extensions(client: openai.AsyncOpenAI) -> None:
    more = {"seed": 3, "num_inference_steps": 2, "guidance_scale": 1.5, "negative_prompt": "dogs"}
    first, again = [await client.images.generate(model="fake-image", prompt="a cat", extra_body=more) for _ in range(2)]
    assert first.data
    assert again.data
    assert first.data[0].b64_json == again.data[0].b64_json


async def test_edit_several_images_with_a_mask(client: openai.AsyncOpenAI) -> None:
    images = [("a.png", png()), ("b.png", png(colour="blue"))]
    mask = ("mask.png", png(colour=(0, 0, 0, 0), mode="RGBA"))
    made = await client.images.edit(model="fake-image", image=images, mask=mask, prompt="green", n=2, size="auto")
    assert made.data
    assert [decoded(image.b64_json).size for image in made.data] == [(64, 64)] * 2


async def test_one_image_of_a_reader(client: openai.AsyncOpenAI) -> None:
    made = await client.images.edit(model="fake-image", image=io.BytesIO(png(80, 40)), prompt="green")
    assert made.data
    assert decoded(made.data[0].b64_json).size == (80, 40)


async def test_variations(client: openai.AsyncOpenAI) -> None:
    with pytest.warns(DeprecationWarning, match="deprecated"):  # OpenAI itself serves it no more
        made = await client.images.create_variation(model="fake-image", image=png(), n=2, response_format="url")
    assert made.data
    assert len({image.url for image in made.data}) == 2


async def test_stream_of_partial_images(client: openai.AsyncOpenAI) -> None:
    stream = await client.images.generate(model="fake-image", prompt="a cat", stream=True, partial_images=2)
    events = [event async for event in stream]
    kinds = [(event.type, getattr(event, "partial_image_index", None)) for event in events]
    partial = "image_generation.partial_image"
    assert kinds == [(partial, 0), (partial, 1), ("image_generation.completed", None)]
    assert all(decoded(event.b64_json).size == (64, 64) for event in events)
    assert events[-1].type == "image_generation.completed"
    assert events[-1].usage.output_tokens == 64


async def test_stream_of_an_edit(client: openai.AsyncOpenAI) -> None:
    stream = await client.images.edit(model="fake-image", image=png(), prompt="green", stream=True, partial_images=1)
    assert [event.type async for event in stream] == ["image_edit.partial_image", "image_edit.completed"]


async def test_errors(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.images.edit(model="fake-image", image=b"no picture", prompt="green")
    assert (caught.value.code, caught.value.param) == ("invalid_media", "image[0]")
    with pytest.raises(openai.APIError, match="as scripted"):
        async for _ in await client.images.generate(
            model="fake-image", prompt='{"fake": {"fail_after": 1}}', stream=True
        ):
            pass
