"""Requests to the fake models of an audio service, in few words."""

from collections.abc import AsyncIterator
from typing import Any

from gpt_server.audio.v1.speech_pb2 import SynthesizeRequest, SynthesizeResponse
from gpt_server.audio.v1.transcription_pb2 import TranscribeRequest, TranscribeResponse, TranscriptionConfig


async def messages(content: bytes, piece: int = 0, model: str = "fake-ear", **config: Any) -> AsyncIterator[Any]:
    """The caller's stream: a configuration, and a file in pieces of so many bytes."""
    yield TranscribeRequest(config=TranscriptionConfig(model=model, **config))
    for begin in range(0, len(content), piece or len(content) or 1):
        yield TranscribeRequest(audio=content[begin : begin + (piece or len(content))])


async def transcribe(stub: Any, content: bytes, piece: int = 0, **config: Any) -> list[TranscribeResponse]:
    """Reads a call of `Transcribe` to its end."""
    return [response async for response in stub.Transcribe(messages(content, piece, **config))]


def text_of(responses: list[TranscribeResponse]) -> str:
    """The whole text."""
    return "".join(segment.text for response in responses for segment in response.segments)


def say(text: str, model: str = "fake-voice", **fields: Any) -> SynthesizeRequest:
    """A request for speech."""
    return SynthesizeRequest(model=model, input=text, **fields)


async def synthesize(stub: Any, request: SynthesizeRequest) -> tuple[bytes, list[SynthesizeResponse]]:
    """Reads a call of `Synthesize` to its end; returns the sound, and the messages."""
    responses = [response async for response in stub.Synthesize(request)]
    return b"".join(response.audio for response in responses), responses
