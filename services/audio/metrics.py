"""Metrics of speech: seconds of sound, and the time until there is something to read or to hear."""

from gpt_server.services.common import telemetry

HEARD_SECONDS = telemetry.counter(
    "gpt_server_audio_transcribed_seconds_total", "Length of the sound that was written down.", "model", "engine"
)
SPOKEN_SECONDS = telemetry.counter(
    "gpt_server_audio_spoken_seconds_total", "Length of the speech that was made.", "model", "engine"
)
FIRST_SEGMENT_SECONDS = telemetry.histogram(
    "gpt_server_audio_first_segment_seconds", "From the engine's start to the first segment.", "model", "engine"
)
FIRST_AUDIO_SECONDS = telemetry.histogram(
    "gpt_server_audio_first_audio_seconds", "From the engine's start to the first samples.", "model", "engine"
)
COMPUTE_SECONDS = telemetry.histogram(
    "gpt_server_audio_compute_seconds", "From the engine's start to its end, waiting included.", "model", "engine"
)
