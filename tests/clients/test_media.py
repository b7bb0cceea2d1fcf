"""What openai's SDKs make of sounds and pictures."""

import base64
import io
import wave
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.clients.conftest import EAR, IMAGE, VOICE
from tests.clients.marks import clients
from tests.clients.program import Program
from tests.support.words import wrong_words

pytestmark = pytest.mark.asyncio(loop_scope="session")
TEXT = "The weather is very nice today."
SHAPE = {"model": IMAGE, "say": "a red circle on a blue background"}


def decoded(picture: str) -> Any:
    """Pixels of a picture in base64."""
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        return np.asarray(image.convert("RGB"), int)


@clients(of="openai")
async def test_what_is_spoken_is_understood(client: Program) -> None:
    reply = await client.answer("speak", voice=VOICE, ear=EAR, say=TEXT)
    with wave.open(io.BytesIO(base64.b64decode(reply["sound"]))) as sound:
        assert sound.getframerate() == 22_050
    assert wrong_words(TEXT, reply["text"]) <= 2
    assert "".join(reply["deltas"]) == reply["done"] == reply["text"]


@clients(of="openai")
async def test_pictures(client: Program) -> None:
    """The background has the colour asked for; an edit of little strength keeps most of it, the same seed all of it."""
    reply = await client.answer("draw", **SHAPE, options={"seed": 1, "n": 2})
    first, second = reply["pictures"]
    red, green, blue = decoded(first)[:8].mean(axis=(0, 1))
    assert blue > max(red, green) + 60
    assert (await client.answer("draw", **SHAPE, options={"seed": 2}))["pictures"] == [second]
    changed = await client.answer("edit", **SHAPE, picture=first, options={"seed": 1, "strength": 0.3})
    (edited,) = changed["pictures"]
    assert 0 < np.abs(decoded(edited) - decoded(first)).mean() < 40


@clients(of="openai")
async def test_pictures_in_a_stream(client: Program) -> None:
    """Previews come first; the last event has the picture that comes whole."""
    reply = await client.answer("draw_stream", **SHAPE, options={"seed": 1, "partial_images": 2})
    assert [kind for kind, _ in reply["events"]] == ["image_generation.partial_image"] * 2 + [
        "image_generation.completed"
    ]
    whole = await client.answer("draw", **SHAPE, options={"seed": 1})
    assert whole["pictures"] == [reply["events"][-1][1]]
