"""What an audio engine is: the whole contract between gRPC and a library.

The dataclasses mirror `gpt_server.audio.v1` field by field, under the same names; a test compares them. `None`, and an
empty text, mean unset, wherever the message's comment says what unset means. No protobuf and no gRPC here.

Engines know nothing of files and codecs: sound goes in and out as `Samples`. `codec.py` decodes and encodes, and does
what is the same for every engine: other rates, other speeds.
"""

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from gpt_server.services.common.content import Media as Media
from gpt_server.services.common.engines import Engine
from gpt_server.services.common.engines import EngineConfig as EngineConfig
from gpt_server.services.common.engines import Problem as Problem

TranscriptionTask = Literal["transcribe", "translate"]
AudioFormat = Literal["pcm", "wav", "mp3", "opus", "aac", "flac"]
Capability = Literal["transcription", "translation", "speech", "voice_cloning", "diarization"]
Samples: TypeAlias = npt.NDArray[np.float32]
"""Sound of one channel: n numbers between -1 and 1, one dimension."""


@dataclass(frozen=True, slots=True)
class VoiceActivity:
    """How silences are found. Times in milliseconds."""

    threshold: float | None = None
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class PcmFormat:
    """Form of raw samples: signed 16-bit integers, little-endian."""

    sample_rate_hz: int
    channels: int | None = None


@dataclass(frozen=True, slots=True)
class TranscriptionConfig:
    """What is wanted of a transcription. `language` is ISO 639-1 when an engine sees it, or empty."""

    model: str
    task: TranscriptionTask | None = None
    language: str = ""
    prompt: str = ""
    keywords: Sequence[str] = ()
    temperature: float | None = None
    word_timestamps: bool | None = None
    diarize: bool | None = None
    voice_activity: VoiceActivity = VoiceActivity()
    pcm: PcmFormat | None = None
    priority: int | None = None


@dataclass(slots=True)
class PreparedTranscription:
    """A transcription that was found valid. Engines subclass it to carry more."""

    config: TranscriptionConfig


@dataclass(frozen=True, slots=True)
class Word:
    """A word, and where it is, in seconds from the beginning of the sound."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech. Where the language puts a blank between two, the later one's text begins with it."""

    start_s: float
    end_s: float
    text: str
    words: Sequence[Word] = ()
    speaker: str = ""
    language: str = ""
    avg_logprob: float | None = None
    no_speech_prob: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a call took."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class TranscriptionOutput:
    """All that is new: decided segments, what the rest seems to be, and tokens since the last output."""

    segments: Sequence[Segment] = ()
    interim: Segment | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class VoiceReference:
    """A recording of a voice, and what is said in it: `samples` at the model's `input_sample_rate_hz`."""

    samples: Samples
    text: str = ""


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """What is to be spoken, as an engine sees it.

    `voice` is the name, never an alias, of one of the model's voices; it is `None` if there is a `reference`, or if the
    model has no named voices. `speed` is `None` for models that do not `takes_speed`: the service changes it. How the
    sound is encoded is not the engine's affair.
    """

    model: str
    input: str
    voice: str | None = None
    reference: VoiceReference | None = None
    speed: float | None = None
    pitch: float | None = None
    instructions: str = ""
    language: str = ""
    seed: int | None = None


@dataclass(slots=True)
class PreparedSpeech:
    """Speech that was found valid. Engines subclass it to carry more."""

    request: SpeechRequest


@dataclass(frozen=True, slots=True)
class SpeechOutput:
    """The next samples, at the model's `output_sample_rate_hz`, and tokens since the last output."""

    samples: Samples
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice that a model has by name."""

    name: str
    aliases: Sequence[str] = ()
    language: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """What a loaded model is.

    Attributes:
        input_sample_rate_hz: samples per second that it listens to, recordings of voices included.
        transcription_languages: ISO 639-1, or 639-3 where that has none; empty: any, or it does not say.
        voice_activity: whether it honours `TranscriptionConfig.voice_activity`.
        output_sample_rate_hz: samples per second that it speaks with.
        speech_languages: as `transcription_languages`.
        voices: by name; `default_voice` speaks if none is asked for.
        takes_speed: whether it changes the speed itself. If not, the service changes it afterwards.
    """

    capabilities: frozenset[Capability]
    input_sample_rate_hz: int = 16_000
    transcription_languages: Sequence[str] = ()
    voice_activity: bool = False
    output_sample_rate_hz: int = 24_000
    speech_languages: Sequence[str] = ()
    voices: Sequence[Voice] = ()
    default_voice: str = ""
    takes_speed: bool = False


class AudioEngine(Engine[ModelDetails]):
    """Runs one model in this process. An engine is a `Transcriber`, a `Speaker`, or both."""

    @abstractmethod
    def running(self) -> int:
        """Returns how many requests the engine works on now; 0 when idle. Tests await it after cancelling."""


class Transcriber(AudioEngine):
    """The side of an engine that listens, for models that do `transcription` or `translation`."""

    @abstractmethod
    async def prepare_transcription(self, config: TranscriptionConfig) -> PreparedTranscription:
        """Validates what is wanted. Computes nothing.

        Ranges, capabilities, languages and `voice_activity` were checked before. Everything else that the engine cannot
        honour (`prompt`, `keywords`, `temperature`, `word_timestamps`) is refused here, by name.

        Raises:
            InvalidField: a value is not allowed.
            UnsupportedFeature: the engine cannot honour a field that is set.
        """

    @abstractmethod
    def transcribe(
        self, prepared: PreparedTranscription, sound: AsyncIterator[Samples]
    ) -> AsyncGenerator[TranscriptionOutput, None]:
        """Writes down a sound and yields segments as they are decided.

        `sound` yields pieces of any length at the model's `input_sample_rate_hz`, each once, and ends. How it is cut up
        has no influence on the result. The engine takes a piece only when it has room for it: memory does not grow with
        the length of the sound. Times of segments and words lie inside it; starts never go back. `utterances.py`
        cuts long sound at silences, for libraries that want arrays. A sound without speech has no segments.

        Closing the generator early (`aclose`, or cancelling the task that awaits it) ends the work as soon as the
        library lets go, and frees what the request holds.

        Raises:
            EngineUnavailable: the engine has died.
            ServiceError: of any kind that `sound` raises, as it is.
        """


class Speaker(AudioEngine):
    """The side of an engine that speaks, for models that do `speech`."""

    @abstractmethod
    async def prepare_speech(self, request: SpeechRequest) -> PreparedSpeech:
        """Validates what is wanted. Computes nothing.

        Ranges and capabilities, and that there is such a voice, were checked before. Everything else that the engine
        cannot honour (`pitch`, `instructions`, `language`, `seed`) is refused here, by name.

        Raises:
            InvalidField: a value is not allowed.
            UnsupportedFeature: the engine cannot honour a field that is set.
            ContextLengthExceeded: the input is longer than the model takes.
        """

    @abstractmethod
    def synthesize(self, prepared: PreparedSpeech) -> AsyncGenerator[SpeechOutput, None]:
        """Speaks, and yields samples as they come: the first before the rest is computed, where the library can.

        Closing the generator early ends the work and frees what the request holds, as for `transcribe`. What has been
        computed ahead of the reader is bounded.

        Raises:
            EngineUnavailable: the engine has died.
        """
