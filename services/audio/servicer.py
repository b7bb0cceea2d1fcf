"""`gpt_server.audio.v1.AudioService` over any `AudioEngine`: translation, nothing else."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from gpt_server.audio.v1 import audio_service_pb2 as pb
from gpt_server.audio.v1 import audio_service_pb2_grpc
from gpt_server.audio.v1.speech_pb2 import SynthesizeRequest, SynthesizeResponse
from gpt_server.audio.v1.transcription_pb2 import TranscribeRequest, TranscribeResponse, TranscriptionConfig
from gpt_server.services.audio import checks, codec, requests, responses
from gpt_server.services.audio.course import Course
from gpt_server.services.audio.engine import (
    AudioEngine,
    Capability,
    PreparedSpeech,
    Speaker,
    SpeechRequest,
    Transcriber,
    Usage,
    VoiceReference,
)
from gpt_server.services.audio.incoming import Incoming
from gpt_server.services.audio.threads import in_thread
from gpt_server.services.common.errors import InvalidField, ServiceError
from gpt_server.services.common.models import Models, ServedModel

REFERENCE_S = (0.5, 60.0)
READ_ON_S = 0.2


class AudioServicer(audio_service_pb2_grpc.AudioServiceServicer):
    """The service, over the models of the process."""

    def __init__(self, models: Models[AudioEngine]) -> None:
        self._models = models

    async def Transcribe(
        self, request_iterator: AsyncIterator[TranscribeRequest], context: Any
    ) -> AsyncGenerator[TranscribeResponse, None]:
        """Yields `started`, segments as the engine decides them, and `finished`."""
        try:
            async with aclosing(self._transcribed(request_iterator)) as responded:
                async for response in responded:
                    yield response
        except ServiceError:
            await _read_on(request_iterator)
            raise

    async def _transcribed(
        self, request_iterator: AsyncIterator[TranscribeRequest]
    ) -> AsyncGenerator[TranscribeResponse, None]:
        arrived_s = time.monotonic()
        wanted = requests.transcription_config(await _config(request_iterator))
        model = self._resolve(wanted.model, "translation" if wanted.task == "translate" else "transcription")
        wanted = checks.checked_config(wanted, model.details)
        engine: Transcriber = _side(model.engine, Transcriber)
        with model.admission.enter(priority=wanted.priority or 0) as ticket:
            with _fields_of_config():
                prepared = await engine.prepare_transcription(wanted)
            await ticket.slot()
            async with Incoming(request_iterator, wanted.pcm, model.details.input_sample_rate_hz) as incoming:
                yield responses.transcription_started(await incoming.open())
                course, heard = Course(model.key, model.engine_name, arrived_s), responses.Heard()
                async with aclosing(engine.transcribe(prepared, incoming.samples())) as outputs:
                    async for output in outputs:
                        heard.add(output)
                        for response in responses.transcribed(output):
                            course.first_segment()
                            yield response
                timings = course.heard(incoming.duration_s)
                yield responses.transcription_finished(heard, wanted.language, incoming.duration_s, timings)

    async def Synthesize(self, request: SynthesizeRequest, context: Any) -> AsyncGenerator[SynthesizeResponse, None]:
        """Yields `started`, sound as it is made and encoded, and `finished`."""
        arrived_s = time.monotonic()
        model = self._resolve(request.model, "speech")
        wanted = requests.synthesize_request(request)
        speech = checks.checked_speech(wanted, model.details)
        form = wanted.format or "pcm"
        rate_hz = checks.checked_rate_hz(form, wanted.sample_rate_hz, model.details)
        engine: Speaker = _side(model.engine, Speaker)
        with model.admission.enter(priority=wanted.priority or 0) as ticket:
            speech = await _with_reference(speech, wanted.reference, model.details.input_sample_rate_hz)
            prepared = await engine.prepare_speech(speech)
            yield responses.speech_started(form, rate_hz)
            await ticket.slot()
            course = Course(model.key, model.engine_name, arrived_s)
            speed = 1.0 if model.details.takes_speed else wanted.speech.speed or 1.0
            encoder = codec.Encoder(codec.FORMS[form], model.details.output_sample_rate_hz, rate_hz, speed)
            async with aclosing(_spoken(engine, prepared, encoder, course)) as messages:
                async for message in messages:
                    yield message

    async def ListVoices(self, request: pb.ListVoicesRequest, context: Any) -> pb.ListVoicesResponse:
        """Returns the voices of a model."""
        return responses.voices(self._resolve(request.model, "speech").details)

    async def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeResponse:
        """Returns what a model is."""
        model, adapter = self._models.resolve(request.model)
        return responses.description(model.describe(adapter), model.details)

    def _resolve(self, name: str, wanted: Capability) -> ServedModel[AudioEngine]:
        model, _ = self._models.resolve(name)
        checks.check_kind(name, model.details, wanted)
        return model


def _side(engine: AudioEngine, side: Any) -> Any:
    if not isinstance(engine, side):
        raise TypeError(f"{engine.name} says that it can what it cannot")
    return engine


@contextmanager
def _fields_of_config() -> Iterator[None]:
    """Engines know the fields of `config`, not where it stands."""
    try:
        yield
    except ServiceError as error:
        error.field = error.field and f"config.{error.field}"
        raise


async def _config(messages: AsyncIterator[TranscribeRequest]) -> TranscriptionConfig:
    async for message in messages:
        if message.WhichOneof("content") == "config":
            return message.config
        break
    raise InvalidField("config", "must be in the first message")


async def _read_on(messages: AsyncIterator[TranscribeRequest]) -> None:
    """Reads a moment longer: a caller who still writes when the call ends may lose the status that says why."""
    with suppress(TimeoutError):
        async with asyncio.timeout(READ_ON_S):
            async for _ in messages:
                pass


async def _with_reference(speech: SpeechRequest, reference: requests.Reference | None, rate_hz: int) -> SpeechRequest:
    if reference is None:
        return speech
    content, field = reference.audio.content, "reference.audio.content"
    samples = await in_thread(partial(codec.decode_whole, content, rate_hz, field, *REFERENCE_S))
    return replace(speech, reference=VoiceReference(samples, reference.text))


async def _spoken(
    engine: Speaker, prepared: PreparedSpeech, encoder: codec.Encoder, course: Course
) -> AsyncGenerator[SynthesizeResponse, None]:
    """Yields what is left of the messages after `started`."""
    usage: Usage | None = None
    async with aclosing(engine.synthesize(prepared)) as outputs:
        async for output in outputs:
            usage = responses.added(usage, output.usage)
            if len(output.samples):
                course.first_audio()
                for message in responses.spoken(await in_thread(partial(encoder.add, output.samples))):
                    yield message
    for message in responses.spoken(await in_thread(encoder.end)):
        yield message
    yield responses.speech_finished(encoder.duration_s, usage, course.spoken(encoder.duration_s))
