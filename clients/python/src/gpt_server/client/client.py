"""The client: each modality's calls, with streams joined to what their callers want."""

import sys
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import grpc

from gpt_server.audio.v1.audio_service_pb2_grpc import AudioServiceStub
from gpt_server.audio.v1.speech_pb2 import SpeechFinished, SpeechStarted, SynthesizeRequest
from gpt_server.audio.v1.transcription_pb2 import Segment, TranscribeRequest, TranscriptionConfig
from gpt_server.client.channels import open_channel
from gpt_server.client.errors import translated, unfinished
from gpt_server.client.wav import with_lengths
from gpt_server.common.v1.media_pb2 import Part
from gpt_server.common.v1.model_service_pb2 import WatchRequest, WatchResponse
from gpt_server.common.v1.model_service_pb2_grpc import ModelServiceStub
from gpt_server.embed.v1.embed_service_pb2 import VECTOR_FORMAT_FLOAT32, EmbedRequest
from gpt_server.embed.v1.embed_service_pb2_grpc import EmbedServiceStub
from gpt_server.image.v1.image_service_pb2 import GenerateRequest as ImageRequest
from gpt_server.image.v1.image_service_pb2 import ImageHeader
from gpt_server.image.v1.image_service_pb2_grpc import ImageServiceStub
from gpt_server.llm.v1.chat_pb2 import ROLE_USER, Message
from gpt_server.llm.v1.llm_service_pb2 import Finished, GenerateRequest
from gpt_server.llm.v1.llm_service_pb2_grpc import LLMServiceStub

PIECE_BYTES = 256 * 1024


def connect(
    target: str,
    *,
    ca_file: Path | None = None,
    cert_file: Path | None = None,
    key_file: Path | None = None,
    token: str | None = None,
    tls: bool = False,
) -> "Client":
    """Returns a client; nothing is sent until the first call.

    Args:
        target: `host:port`, or a name of gRPC such as `dns:///models.internal:50051`, over whose addresses calls are
            balanced.
        ca_file: authorities to trust, PEM. With it, or with `tls`, the connection is encrypted.
        cert_file, key_file: our own certificate, PEM, where the service asks for one (mutual TLS).
        token: shown with every call, where the service wants one.
        tls: encrypt, and trust the authorities that gRPC brings.
    """
    return Client(open_channel(target, ca_file, cert_file, key_file, token, tls))


def user(text: str) -> Message:
    """Returns what a user says, as a message of a chat."""
    return Message(role=ROLE_USER, content=[Part(text=text)])


class TextStream(Iterator[str]):
    """The text of the first choice, piece by piece. Leaving the `with` block, or `cancel()`, ends the work.

    For more choices, tool calls and reasoning read the deltas: `LLMServiceStub` on the client's `channel`.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        self._texts = self._read()
        self._finished: Finished | None = None

    @property
    def finished(self) -> Finished:
        """Finish reasons, usage and timings, once the stream has ended. Raises `RuntimeError` before."""
        if not self._finished:
            raise RuntimeError("the stream has not ended")
        return self._finished

    def __next__(self) -> str:
        return next(self._texts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def cancel(self) -> None:
        """Ends the work and frees its place; does nothing after the end."""
        self._call.cancel()

    def _read(self) -> Iterator[str]:
        with translated():
            for response in self._call:
                if response.HasField("finished"):
                    self._finished = response.finished
                yield from (delta.content for delta in response.deltas if delta.content and not delta.choice)
        if not self._finished:
            raise unfinished()


@dataclass(frozen=True, slots=True)
class Speech:
    """What was written to a file. `started`: form, rate and channels; `finished`: length in seconds, timings."""

    started: SpeechStarted
    finished: SpeechFinished


@dataclass(frozen=True, slots=True)
class Image:
    """A finished image. `header`: seed, size, format; `content`: the bytes of its file."""

    header: ImageHeader
    content: bytes


class Client:
    """Calls the services behind one address. Every method raises `GPTServerError`.

    `timeout_s` is the call's deadline in seconds; without one the service's own holds (600 s unless configured).
    What is not here is called with the generated stubs on `channel`.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; calls that still run are cancelled."""
        self.channel.close()

    def watch(self, *, timeout_s: float | None = None) -> Iterator[WatchResponse]:
        """Yields which models the address serves and how busy they are: at once, on change, every second."""
        call: Any = ModelServiceStub(self.channel).Watch(WatchRequest(), timeout=timeout_s)
        try:
            with translated():
                yield from call
        finally:
            call.cancel()

    def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> TextStream:
        """Continues a chat or a prompt, and streams the text."""
        return TextStream(LLMServiceStub(self.channel).Generate(request, timeout=timeout_s))

    def embed(self, request: EmbedRequest, *, timeout_s: float | None = None) -> list["array[float]"]:
        """Returns a vector for each input, as arrays of `f` that numpy takes without a copy."""
        if request.HasField("format") and request.format != VECTOR_FORMAT_FLOAT32:
            raise ValueError("embed returns FLOAT32; for other formats call EmbedServiceStub on `channel`")
        vectors: list[array[float]] = []
        finished = False
        with translated():
            for response in EmbedServiceStub(self.channel).Embed(request, timeout=timeout_s):
                rows, size = memoryview(response.vectors), response.row_bytes
                vectors += [_floats(rows[at : at + size]) for at in range(0, len(rows), size)]
                finished |= response.HasField("finished")
        if not finished:
            raise unfinished()
        return vectors

    def transcribe(
        self, config: TranscriptionConfig, sound: BinaryIO, *, timeout_s: float | None = None
    ) -> Iterator[Segment]:
        """Sends a file by pieces and yields segments as they are decided; the text is all of theirs, joined.

        Args:
            config: model, language and what else is wanted.
            sound: a file of any form that FFmpeg reads, open for reading bytes.
        """
        call: Any = AudioServiceStub(self.channel).Transcribe(_requests(config, sound), timeout=timeout_s)
        finished = False
        try:
            with translated():
                for response in call:
                    yield from response.segments
                    finished |= response.HasField("finished")
        finally:
            call.cancel()
        if not finished:
            raise unfinished()

    def synthesize(self, request: SynthesizeRequest, sound: BinaryIO, *, timeout_s: float | None = None) -> Speech:
        """Writes speech to a file while it is spoken. A WAV file gets its true lengths at the end, if it can seek."""
        started: SpeechStarted | None = None
        with translated():
            for response in AudioServiceStub(self.channel).Synthesize(request, timeout=timeout_s):
                if response.HasField("started"):
                    started = response.started
                sound.write(response.audio)
                if started and response.HasField("finished"):
                    with_lengths(sound)
                    return Speech(started, response.finished)
        raise unfinished()

    def generate_image(
        self,
        request: ImageRequest,
        *,
        on_progress: Callable[[int, int], None] = lambda step, steps: None,
        timeout_s: float | None = None,
    ) -> list[Image]:
        """Makes images and returns them in order, without previews. `on_progress`: steps done, steps in all."""
        images: list[Image] = []
        header, content = ImageHeader(), bytearray()
        with translated():
            for response in ImageServiceStub(self.channel).Generate(request, timeout=timeout_s):
                event, part = response.WhichOneof("event"), response.image_part
                if event == "progress":
                    on_progress(response.progress.step, response.progress.steps)
                elif event == "image_part":
                    if part.HasField("header"):
                        header, content = part.header, bytearray()
                    content += part.content
                    if part.last and not header.HasField("preview"):
                        images.append(Image(header, bytes(content)))
                elif event == "finished":
                    return images
        raise unfinished()


def _requests(config: TranscriptionConfig, sound: BinaryIO) -> Iterator[TranscribeRequest]:
    yield TranscribeRequest(config=config)
    while piece := sound.read(PIECE_BYTES):
        yield TranscribeRequest(audio=piece)


def _floats(row: memoryview) -> "array[float]":
    numbers = array("f", row.tobytes())
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
