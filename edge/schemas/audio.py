"""Bodies of requests for transcription, translation and speech. Fields stand in `audio_fields.py`."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from gpt_server.edge.schemas.audio_fields import SPEECH_FIELDS, TRANSCRIPTION_FIELDS, TRANSLATION_FIELDS
from gpt_server.edge.schemas.base import Body, FieldTable, Int32, Int64, Json, OneOrMany, invalid
from gpt_server.edge.uploads import Upload

SpeechFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
STREAMED = ("json", "text", "diarized_json")


def _uploaded(value: Any) -> Any:
    if not isinstance(value, Upload):
        raise invalid("Send it as a file of a multipart form; in JSON use 'input_audio'.")
    return value


def _strategy(value: Any) -> Any:
    return {"type": "server_vad"} if value == "auto" else value


class InputAudio(Json):
    """Sound in JSON. `format` is taken from the data itself."""

    data: str = Field(min_length=1, description="The file in base64.")
    format: str | None = None


class ChunkingStrategy(Json):
    """How silences are found."""

    type: Literal["server_vad"]
    threshold: float | None = None
    prefix_padding_ms: Int32 | None = None
    silence_duration_ms: Int32 | None = None


class ListeningBody(Body):
    """What transcriptions and translations have."""

    file: Annotated[Any, BeforeValidator(_uploaded)] = Field(
        default=None, description="The sound, as a file of the form.", json_schema_extra={"format": "binary"}
    )
    input_audio: InputAudio | None = None
    model: str = Field(min_length=1, description="Name of the model, as /v1/models lists it.")
    language: str | None = None
    prompt: str | None = None
    temperature: float | None = None
    priority: Int32 | None = None

    @model_validator(mode="after")
    def _has_sound(self) -> "ListeningBody":
        if (self.file is None) == (self.input_audio is None):
            raise invalid("Exactly one file is required, or 'input_audio' in JSON.", "file")
        return self


class TranscriptionRequest(ListeningBody):
    """OpenAI's request for a transcription; Open WebUI's in JSON."""

    fields: ClassVar[FieldTable] = TRANSCRIPTION_FIELDS

    response_format: Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"] = "json"
    keywords: OneOrMany | None = None
    hotwords: OneOrMany | None = None
    timestamp_granularities: list[Literal["word", "segment"]] | None = None
    chunking_strategy: Annotated[ChunkingStrategy, BeforeValidator(_strategy)] | None = None
    diarize: bool | None = None
    stream: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> "TranscriptionRequest":
        if self.stream and self.response_format not in STREAMED:
            raise invalid(f"A stream has one of {', '.join(STREAMED)}.", "response_format")
        if self.timestamp_granularities and self.response_format != "verbose_json":
            raise invalid("Only 'verbose_json' has these.", "timestamp_granularities")
        return self


class TranslationRequest(ListeningBody):
    """OpenAI's request for a translation to English."""

    fields: ClassVar[FieldTable] = TRANSLATION_FIELDS

    response_format: Literal["json", "text", "srt", "verbose_json", "vtt"] = "json"


class VoiceId(Json):
    """A voice, as OpenAI names those of its customers."""

    id: str = Field(min_length=1)


class SpeechRequest(Body):
    """OpenAI's request for speech, with gpt_server's cloning of voices."""

    fields: ClassVar[FieldTable] = SPEECH_FIELDS

    model: str = Field(min_length=1, description="Name of the model, as /v1/models lists it.")
    input: str = Field(min_length=1)
    voice: str | VoiceId | None = Field(default=None, description="A name, or the URL of a recording to speak like.")
    instructions: str | None = None
    response_format: SpeechFormat = "mp3"
    speed: float | None = None
    pitch: float | None = None
    language: str | None = None
    seed: Int64 | None = None
    sample_rate_hz: Int32 | None = None
    reference_audio: str | None = Field(default=None, description="A recording: base64, a data URL or a URL.")
    ref_audio: str | None = None
    reference_text: str | None = Field(default=None, description="What is said in the recording.")
    ref_text: str | None = None
    priority: Int32 | None = None
    stream_format: Literal["audio", "sse"] = "audio"

    @property
    def voice_name(self) -> str | None:
        """Which voice is asked for, in whichever form."""
        return self.voice.id if isinstance(self.voice, VoiceId) else self.voice
