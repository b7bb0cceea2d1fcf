"""Calls of `AudioService`: a transcription whose sound is sent while it is answered, and speech."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from gpt_server.audio.v1 import speech_pb2
from gpt_server.audio.v1 import transcription_pb2 as pb
from gpt_server.audio.v1.audio_service_pb2_grpc import AudioServiceStub
from gpt_server.common.v1 import model_pb2
from gpt_server.edge.calls import CallOptions
from gpt_server.edge.context import Edge
from gpt_server.edge.streamed import StreamedCall
from gpt_server.edge.telemetry import Exchange
from gpt_server.edge.uploads import Upload


class Transcribing(StreamedCall[pb.TranscribeResponse]):
    """One sound, on its way to its text. It can be sent again, so another replica may begin anew."""

    kind = model_pb2.MODEL_KIND_AUDIO

    def __init__(
        self, edge: Edge, exchange: Exchange, config: pb.TranscribeRequest, sound: Upload, options: CallOptions
    ) -> None:
        super().__init__(edge, exchange, config.config.model, options)
        self._config = config
        self._sound = sound

    def _dial(self, channel: grpc.aio.Channel, options: CallOptions) -> Any:
        stub = AudioServiceStub(channel)
        return stub.Transcribe(self._messages(), timeout=options.left_s, metadata=options.metadata)

    async def _messages(self) -> AsyncIterator[pb.TranscribeRequest]:
        yield self._config
        async for piece in self._sound.pieces():
            yield pb.TranscribeRequest(audio=piece)


class Speaking(StreamedCall[speech_pb2.SynthesizeResponse]):
    """One text, on its way to its sound."""

    kind = model_pb2.MODEL_KIND_AUDIO

    def __init__(
        self, edge: Edge, exchange: Exchange, request: speech_pb2.SynthesizeRequest, options: CallOptions
    ) -> None:
        super().__init__(edge, exchange, request.model, options)
        self._request = request

    def _dial(self, channel: grpc.aio.Channel, options: CallOptions) -> Any:
        return AudioServiceStub(channel).Synthesize(self._request, timeout=options.left_s, metadata=options.metadata)


@dataclass(slots=True)
class Transcript:
    """A whole transcription."""

    segments: list[pb.Segment] = field(default_factory=list)
    finished: pb.TranscriptionFinished = field(default_factory=pb.TranscriptionFinished)

    @property
    def text(self) -> str:
        """What was said."""
        return "".join(segment.text for segment in self.segments).strip()


async def collect(call: Transcribing) -> Transcript:
    """Returns what a call that has started comes to. Raises `ApiError`: it fails."""
    transcript = Transcript()
    async for message in call.messages():
        transcript.segments.extend(message.segments)
        transcript.finished = message.finished
    return transcript
