"""Requests of `gpt_server.audio.v1` -> dataclasses. Names are the same on both sides; `checks` looks at the values."""

from collections.abc import Mapping
from dataclasses import dataclass

from gpt_server.audio.v1 import speech_pb2, transcription_pb2
from gpt_server.services.audio.engine import (
    AudioFormat,
    PcmFormat,
    SpeechRequest,
    TranscriptionConfig,
    TranscriptionTask,
    VoiceActivity,
)
from gpt_server.services.common.content import Media
from gpt_server.services.common.protobuf import if_set, media, optional, optional_enum

TASKS: Mapping[int, TranscriptionTask] = {
    transcription_pb2.TRANSCRIPTION_TASK_TRANSCRIBE: "transcribe",
    transcription_pb2.TRANSCRIPTION_TASK_TRANSLATE: "translate",
}
FORMATS: Mapping[int, AudioFormat] = {
    speech_pb2.AUDIO_FORMAT_PCM: "pcm",
    speech_pb2.AUDIO_FORMAT_WAV: "wav",
    speech_pb2.AUDIO_FORMAT_MP3: "mp3",
    speech_pb2.AUDIO_FORMAT_OPUS: "opus",
    speech_pb2.AUDIO_FORMAT_AAC: "aac",
    speech_pb2.AUDIO_FORMAT_FLAC: "flac",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """A recording of a voice, still encoded."""

    audio: Media
    text: str


@dataclass(frozen=True, slots=True)
class SynthesizeRequest:
    """What is to be spoken: what the engine sees of it, and what the service does itself."""

    speech: SpeechRequest
    reference: Reference | None = None
    format: AudioFormat | None = None
    sample_rate_hz: int | None = None
    priority: int | None = None


def transcription_config(config: transcription_pb2.TranscriptionConfig) -> TranscriptionConfig:
    """Returns the engine's form of a configuration. Raises `InvalidField`: an enum has no allowed value."""
    return TranscriptionConfig(
        model=config.model,
        task=optional_enum(config, "task", TASKS, "config.task"),
        language=config.language,
        prompt=config.prompt,
        keywords=tuple(config.keywords),
        temperature=optional(config, "temperature"),
        word_timestamps=optional(config, "word_timestamps"),
        diarize=optional(config, "diarize"),
        voice_activity=_voice_activity(config.voice_activity),
        pcm=if_set(config, "pcm", config.pcm, _pcm),
        priority=optional(config, "priority"),
    )


def synthesize_request(request: speech_pb2.SynthesizeRequest) -> SynthesizeRequest:
    """Returns what is wanted. Raises `InvalidField`: an enum has no allowed value."""
    return SynthesizeRequest(
        speech=SpeechRequest(
            model=request.model,
            input=request.input,
            voice=optional(request, "voice"),
            speed=optional(request, "speed"),
            pitch=optional(request, "pitch"),
            instructions=request.instructions,
            language=request.language,
            seed=optional(request, "seed"),
        ),
        reference=if_set(request, "reference", request.reference, _reference),
        format=optional_enum(request, "format", FORMATS, "format"),
        sample_rate_hz=optional(request, "sample_rate_hz"),
        priority=optional(request, "priority"),
    )


def _voice_activity(activity: transcription_pb2.VoiceActivity) -> VoiceActivity:
    return VoiceActivity(
        threshold=optional(activity, "threshold"),
        prefix_padding_ms=optional(activity, "prefix_padding_ms"),
        silence_duration_ms=optional(activity, "silence_duration_ms"),
    )


def _pcm(form: transcription_pb2.PcmFormat) -> PcmFormat:
    return PcmFormat(form.sample_rate_hz, optional(form, "channels"))


def _reference(reference: speech_pb2.VoiceReference) -> Reference:
    return Reference(media(reference.audio), reference.text)
