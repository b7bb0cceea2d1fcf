"""The demo's voice and ear: over HTTP with the SDK, and straight at the service."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import openai
import pytest
import pytest_asyncio

from gpt_server.audio.v1 import speech_pb2
from gpt_server.audio.v1.audio_service_pb2_grpc import AudioServiceStub
from tests.services.audio_asking import messages, say, synthesize, text_of, transcribe
from tests.support.sounds import file_of, silence
from tests.support.stack import RunningStack
from tests.support.words import wrong_words

pytestmark = pytest.mark.asyncio(loop_scope="session")
TEXT = "The weather is very nice today. She sells seashells by the seashore."


@pytest_asyncio.fixture(loop_scope="session")
async def client(demo: RunningStack) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{demo.url}/v1", api_key="none") as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def stub(demo: RunningStack) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(str(demo.children()["demo-audio-0"]["grpc"])) as channel:
        yield AudioServiceStub(channel)


async def test_what_is_spoken_is_understood(client: openai.AsyncOpenAI) -> None:
    """At most a quarter of the words is wrong; times of the words grow and stay inside the sound."""
    spoken = await client.audio.speech.create(model="demo-voice", voice="alloy", input=TEXT, response_format="opus")
    heard: Any = await client.audio.transcriptions.create(
        model="demo-ear",
        file=("speech.ogg", spoken.content),
        response_format="verbose_json",
        timestamp_granularities=["word"],
    )
    assert wrong_words(TEXT, heard.text) <= len(TEXT.split()) / 4
    times = [time for word in heard.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= heard.duration


async def test_straight_at_the_service(stub: Any) -> None:
    sound, responses = await synthesize(
        stub, say("Open the window, please.", model="demo-voice", format=speech_pb2.AUDIO_FORMAT_FLAC)
    )
    assert 1 < responses[-1].finished.duration_s < 4
    assert "window" in text_of(await transcribe(stub, sound, 1000, model="demo-ear"))


async def test_cancelling_frees_the_slots(stub: Any, demo: RunningStack) -> None:
    async with demo.watching("demo-audio-0", 1) as until_running:
        await until_running(0)
        speech = stub.Synthesize(say("A long text. " * 5000, model="demo-voice"))
        assert (await speech.read()).HasField("started")
        await until_running(1)
        speech.cancel()
        await until_running(0)
    async with demo.watching("demo-audio-0") as until_running:
        await until_running(0)
        listening = stub.Transcribe(messages(file_of(silence(600)), model="demo-ear"))
        assert (await listening.read()).HasField("started")
        await until_running(1)
        listening.cancel()
        await until_running(0)
