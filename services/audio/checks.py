"""Values that no engine accepts: what the comments of `gpt_server.audio.v1` rule out, and what a model's details do.

Each check names the field by its path in the request and says what is allowed. What is returned is what the engine
sees: languages by their codes, voices by their names.
"""

from collections.abc import Sequence
from dataclasses import replace

from gpt_server.services.audio.codec import FORMS, nearest_rate_hz
from gpt_server.services.audio.engine import (
    AudioFormat,
    Capability,
    ModelDetails,
    PcmFormat,
    SpeechRequest,
    TranscriptionConfig,
    VoiceActivity,
)
from gpt_server.services.audio.requests import SynthesizeRequest
from gpt_server.services.common.errors import InvalidField, UnsupportedFeature, WrongModelKind

MAX_INPUT = 100_000
DOES: dict[Capability, str] = {
    "transcription": "transcription",
    "translation": "translation",
    "speech": "speech",
}
RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 1),
    "speed": (0.25, 4),
    "pitch": (0.5, 2),
    "voice_activity.prefix_padding_ms": (0, 2_000),
    "voice_activity.silence_duration_ms": (50, 10_000),
    "pcm.sample_rate_hz": (8_000, 192_000),
    "pcm.channels": (1, 2),
}


def check_kind(model: str, details: ModelDetails, wanted: Capability) -> None:
    """Raises `WrongModelKind` if the model does not do what is wanted."""
    if wanted not in details.capabilities:
        does = " and ".join(what for kind, what in DOES.items() if kind in details.capabilities)
        raise WrongModelKind(f"model {model!r} does {does}, not {DOES[wanted]}")


def checked_config(config: TranscriptionConfig, details: ModelDetails) -> TranscriptionConfig:
    """Returns what the engine is to see. Raises `InvalidField` or `UnsupportedFeature`."""
    _check_range("temperature", config.temperature, "config.")
    _check_activity(config.voice_activity, details)
    if config.pcm is not None:
        _check_pcm(config.pcm)
    if config.diarize and "diarization" not in details.capabilities:
        raise UnsupportedFeature("config.diarize", "this model does not tell speakers apart")
    language = _language(config.language, details.transcription_languages, "config.language")
    return replace(config, language=language)


def checked_speech(request: SynthesizeRequest, details: ModelDetails) -> SpeechRequest:
    """Returns what the engine is to see, but for the reference. Raises `InvalidField` or `UnsupportedFeature`."""
    speech = request.speech
    _require(speech.input.strip(), "input", "must have at least one character that is not blank")
    length = len(speech.input)
    _require(length <= MAX_INPUT, "input", f"must have at most {MAX_INPUT} characters; got {length}")
    _check_range("speed", speech.speed)
    _check_range("pitch", speech.pitch)
    if request.reference is not None:
        if "voice_cloning" not in details.capabilities:
            raise UnsupportedFeature("reference", "this model does not clone voices; use one of its own")
        _require(request.reference.audio.content, "reference.audio.content", "must have at least one byte")
    return replace(
        speech,
        voice=None if request.reference else _voice(speech.voice, details),
        speed=speech.speed if details.takes_speed else None,
        language=_language(speech.language, details.speech_languages, "language"),
    )


def checked_rate_hz(form: AudioFormat, rate_hz: int | None, details: ModelDetails) -> int:
    """Returns the samples per second of the sound. Raises `InvalidField`: the format has no such rate."""
    has = FORMS[form]
    if rate_hz is None:
        return nearest_rate_hz(has, details.output_sample_rate_hz)
    if nearest_rate_hz(has, rate_hz) != rate_hz:
        between = f"between {has.rates_hz[0]} and {has.rates_hz[-1]}"
        allowed = between if has.any_rate else f"one of {', '.join(map(str, has.rates_hz))}"
        raise InvalidField("sample_rate_hz", f"must be {allowed} for {form}; got {rate_hz}")
    return rate_hz


def _voice(wanted: str | None, details: ModelDetails) -> str | None:
    """Returns the name of the voice that is wanted under whichever name; `None` for a model without named voices."""
    if wanted is None:
        return details.default_voice or None
    for voice in details.voices:
        if wanted.lower() in (name.lower() for name in (voice.name, *voice.aliases)):
            return voice.name
    names = ", ".join(voice.name for voice in details.voices[:20])
    has = f"one of the model's voices: {names}{', …' if len(details.voices) > 20 else ''}" if names else "unset"
    raise InvalidField("voice", f"must be {has}; got {wanted[:100]!r}")


def _language(wanted: str, known: Sequence[str], path: str) -> str:
    """Returns the code without a region, if the model knows the language."""
    code = wanted.strip().lower().replace("_", "-").partition("-")[0]
    if wanted and known and code not in known:
        raise InvalidField(path, f"must be a language that the model knows: {', '.join(known)}; got {wanted[:40]!r}")
    return code


def _check_activity(activity: VoiceActivity, details: ModelDetails) -> None:
    path = "config.voice_activity"
    if activity != VoiceActivity() and not details.voice_activity:
        raise UnsupportedFeature(path, "must be unset; this model finds silences by itself")
    threshold = activity.threshold
    if threshold is not None:
        _require(0 < threshold < 1, f"{path}.threshold", f"must be above 0 and below 1; got {threshold:g}")
    _check_range("voice_activity.prefix_padding_ms", activity.prefix_padding_ms, "config.")
    _check_range("voice_activity.silence_duration_ms", activity.silence_duration_ms, "config.")


def _check_pcm(form: PcmFormat) -> None:
    _check_range("pcm.sample_rate_hz", form.sample_rate_hz, "config.")
    _check_range("pcm.channels", form.channels, "config.")


def _check_range(name: str, value: float | None, prefix: str = "") -> None:
    least, most = RANGES[name]
    if value is not None:
        _require(least <= value <= most, prefix + name, f"must be between {least:g} and {most:g}; got {value:g}")


def _require(holds: object, path: str, message: str) -> None:
    if not holds:
        raise InvalidField(path, message)
