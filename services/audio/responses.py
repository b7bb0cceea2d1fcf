"""Dataclasses -> responses of `gpt_server.audio.v1`."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpt_server.audio.v1 import audio_service_pb2 as pb
from gpt_server.audio.v1 import speech_pb2, transcription_pb2
from gpt_server.common.v1 import model_pb2, usage_pb2
from gpt_server.services.audio.codec import Sound
from gpt_server.services.audio.engine import (
    AudioFormat,
    ModelDetails,
    Segment,
    TranscriptionOutput,
    Usage,
    Voice,
    Word,
)
from gpt_server.services.audio.requests import FORMATS

SEGMENTS_A_MESSAGE = 64
BYTES_A_MESSAGE = 512 * 1024
"""Of sound; a message may have 1 MiB."""
FORMAT_NUMBERS = {name: number for number, name in FORMATS.items()}


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, in seconds. `first_s`: until the first segment or sample; `None`: there was none."""

    queue_s: float
    first_s: float | None
    total_s: float


class Heard:
    """What a transcription came to, as far as its end needs it."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self._spoken_s: Counter[str] = Counter()

    def add(self, output: TranscriptionOutput) -> None:
        """Counts one output."""
        self.usage = added(self.usage, output.usage)
        for segment in output.segments:
            self._spoken_s[segment.language] += segment.end_s - segment.start_s  # type: ignore[assignment]

    @property
    def language(self) -> str:
        """The one of most of the time."""
        return max(self._spoken_s, key=self._spoken_s.__getitem__, default="")


def added(usage: Usage | None, more: Usage | None) -> Usage | None:
    """Returns the sum of tokens; `None` if there are none."""
    if usage is None or more is None:
        return usage or more
    return Usage(usage.prompt_tokens + more.prompt_tokens, usage.completion_tokens + more.completion_tokens)


def transcription_started(sound: Sound) -> transcription_pb2.TranscribeResponse:
    """Returns the first message of a transcription."""
    started = transcription_pb2.TranscriptionStarted(sample_rate_hz=sound.sample_rate_hz, channels=sound.channels)
    return transcription_pb2.TranscribeResponse(started=started)


def transcribed(output: TranscriptionOutput) -> Iterator[transcription_pb2.TranscribeResponse]:
    """Yields what is new in as few messages as it fits in; none if nothing is."""
    segments = [_segment(segment) for segment in output.segments]
    for begin in range(0, len(segments), SEGMENTS_A_MESSAGE):
        yield transcription_pb2.TranscribeResponse(segments=segments[begin : begin + SEGMENTS_A_MESSAGE])
    if output.interim is not None:
        yield transcription_pb2.TranscribeResponse(interim=_segment(output.interim))


def transcription_finished(
    heard: Heard, language: str, duration_s: float, timings: Timings
) -> transcription_pb2.TranscribeResponse:
    """Returns the last message of a transcription. `language`: what the caller said."""
    finished = transcription_pb2.TranscriptionFinished(
        language=heard.language or language,
        duration_s=duration_s,
        usage=_usage(heard.usage),
        timings=transcription_pb2.TranscriptionTimings(
            queue_s=timings.queue_s, first_segment_s=timings.first_s, total_s=timings.total_s
        ),
    )
    return transcription_pb2.TranscribeResponse(finished=finished)


def speech_started(form: AudioFormat, rate_hz: int) -> speech_pb2.SynthesizeResponse:
    """Returns the first message of speech."""
    started = speech_pb2.SpeechStarted(
        format=speech_pb2.AudioFormat.ValueType(FORMAT_NUMBERS[form]), sample_rate_hz=rate_hz, channels=1
    )
    return speech_pb2.SynthesizeResponse(started=started)


def spoken(encoded: bytes) -> Iterator[speech_pb2.SynthesizeResponse]:
    """Yields bytes in as few messages as they fit in; none if there are none."""
    for begin in range(0, len(encoded), BYTES_A_MESSAGE):
        yield speech_pb2.SynthesizeResponse(audio=encoded[begin : begin + BYTES_A_MESSAGE])


def speech_finished(duration_s: float, usage: Usage | None, timings: Timings) -> speech_pb2.SynthesizeResponse:
    """Returns the last message of speech."""
    finished = speech_pb2.SpeechFinished(
        duration_s=duration_s,
        usage=_usage(usage),
        timings=speech_pb2.SpeechTimings(
            queue_s=timings.queue_s, first_audio_s=timings.first_s, total_s=timings.total_s
        ),
    )
    return speech_pb2.SynthesizeResponse(finished=finished)


def voices(details: ModelDetails) -> pb.ListVoicesResponse:
    """Returns the answer of `ListVoices`."""
    return pb.ListVoicesResponse(voices=map(_voice, details.voices), default_voice=details.default_voice)


def description(model: model_pb2.ModelDescription, details: ModelDetails) -> pb.DescribeResponse:
    """Returns the answer of `Describe`."""
    return pb.DescribeResponse(
        model=model,
        transcription_languages=details.transcription_languages,
        speech_languages=details.speech_languages,
        speech_sample_rate_hz=details.output_sample_rate_hz if "speech" in details.capabilities else 0,
    )


def _segment(segment: Segment) -> transcription_pb2.Segment:
    return transcription_pb2.Segment(
        start_s=segment.start_s,
        end_s=segment.end_s,
        text=segment.text,
        words=_words(segment.words),
        speaker=segment.speaker,
        language=segment.language,
        avg_logprob=segment.avg_logprob,
        no_speech_prob=segment.no_speech_prob,
    )


def _words(words: Sequence[Word]) -> list[transcription_pb2.Word]:
    return [transcription_pb2.Word(text=word.text, start_s=word.start_s, end_s=word.end_s) for word in words]


def _voice(voice: Voice) -> pb.Voice:
    return pb.Voice(name=voice.name, aliases=voice.aliases, language=voice.language, description=voice.description)


def _usage(usage: Usage | None) -> usage_pb2.Usage | None:
    if usage is None:
        return None
    return usage_pb2.Usage(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens)
