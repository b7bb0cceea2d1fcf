"""What becomes of every field of requests for transcription and speech: one table per dialect, as in `fields.py`.

Names are those of OpenAI, of vLLM and vLLM-Omni, of Open WebUI (`input_audio`), and of gpt_server.
"""

from collections.abc import Mapping

from gpt_server.edge.schemas.base import FieldTable, Harmless, Honoured, Refused, Treatment


def _copied(path: str) -> Honoured:
    return Honoured((path,), copied=True)


_HEARD: Mapping[str, Treatment] = {
    "file": Honoured(("audio",)),
    "input_audio": Honoured(("audio",)),
    "model": _copied("config.model"),
    "language": _copied("config.language"),
    "prompt": _copied("config.prompt"),
    "response_format": Honoured(),
    "temperature": _copied("config.temperature"),
    "priority": _copied("config.priority"),
    "languages": Refused("Use 'language'; without it the model finds out."),
    "user": Harmless("A hint for billing and abuse detection at OpenAI; the answer does not depend on it."),
}

TRANSCRIPTION_FIELDS: FieldTable = {
    **_HEARD,
    "keywords": _copied("config.keywords"),
    "hotwords": _copied("config.keywords"),
    "timestamp_granularities": Honoured(("config.word_timestamps",)),
    "chunking_strategy": Honoured(("config.voice_activity",)),
    "diarize": _copied("config.diarize"),
    "stream": Honoured(),
    "include": Refused("Log-probabilities of single tokens are not reported; 'verbose_json' has those of segments."),
    "known_speaker_names": Refused("Speakers are told apart, not recognised."),
    "known_speaker_references": Refused("Speakers are told apart, not recognised."),
    "to_language": Refused("POST /v1/audio/translations translates to English."),
}
"""Fields of POST /v1/audio/transcriptions."""

TRANSLATION_FIELDS: FieldTable = {
    **_HEARD,
    "stream": Harmless("Translations come whole.", values=(False,)),
}
"""Fields of POST /v1/audio/translations."""

SPEECH_FIELDS: FieldTable = {
    "model": _copied("model"),
    "input": _copied("input"),
    "voice": Honoured(("voice", "reference")),
    "instructions": _copied("instructions"),
    "response_format": Honoured(("format",)),
    "speed": _copied("speed"),
    "pitch": _copied("pitch"),
    "language": _copied("language"),
    "seed": _copied("seed"),
    "sample_rate_hz": _copied("sample_rate_hz"),
    "reference_audio": Honoured(("reference",)),
    "ref_audio": Honoured(("reference",)),
    "reference_text": Honoured(("reference.text",)),
    "ref_text": Honoured(("reference.text",)),
    "priority": _copied("priority"),
    "stream_format": Honoured(),
    "stream": Harmless("Sound is always sent while it is made."),
    "user": Harmless("A hint for billing and abuse detection at OpenAI; the answer does not depend on it."),
}
"""Fields of POST /v1/audio/speech."""
