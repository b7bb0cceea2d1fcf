"""Requests for transcription and speech -> `gpt_server.audio.v1`."""

import io

from gpt_server.audio.v1 import speech_pb2
from gpt_server.audio.v1 import transcription_pb2 as pb
from gpt_server.edge.media import MediaLoader
from gpt_server.edge.schemas.audio import ListeningBody, SpeechRequest, TranscriptionRequest
from gpt_server.edge.translation.generation import copy_fields
from gpt_server.edge.uploads import Upload

PCM_RATE_HZ = 24_000
"""What clients of OpenAI take raw samples to have."""
URLS = ("http://", "https://", "data:")


def transcribe_config(body: ListeningBody, task: "pb.TranscriptionTask.ValueType") -> pb.TranscribeRequest:
    """Returns the first message of a call."""
    request = pb.TranscribeRequest()
    copy_fields(body, request)
    config = request.config
    config.task = task
    if isinstance(body, TranscriptionRequest):
        if "word" in (body.timestamp_granularities or ()):
            config.word_timestamps = True
        if body.response_format == "diarized_json":
            config.diarize = True
        if strategy := body.chunking_strategy:
            for name in ("threshold", "prefix_padding_ms", "silence_duration_ms"):
                if (value := getattr(strategy, name)) is not None:
                    setattr(config.voice_activity, name, value)
    return request


def sound_of(body: ListeningBody, media: MediaLoader) -> Upload:
    """Returns the sound of a request. Raises `ApiError`: it is no base64, too large or empty."""
    if body.input_audio is None:
        assert body.file is not None  # noqa: S101 (one of the two is there)
        upload: Upload = body.file
        return upload
    content = media.decode(body.input_audio.data, "", "input_audio.data").content
    return Upload(io.BytesIO(content), "", len(content))


async def synthesize_request(body: SpeechRequest, media: MediaLoader) -> speech_pb2.SynthesizeRequest:
    """Returns a request for speech as a service understands it. Raises `ApiError`: the recording cannot be loaded."""
    request = speech_pb2.SynthesizeRequest()
    copy_fields(body, request)
    request.format = speech_pb2.AudioFormat.Value(f"AUDIO_FORMAT_{body.response_format.upper()}")
    if body.response_format == "pcm" and body.sample_rate_hz is None:
        request.sample_rate_hz = PCM_RATE_HZ
    voice = body.voice_name
    recording, param = body.reference_audio or body.ref_audio, "reference_audio"
    if voice is not None and voice.startswith(URLS) and recording is None:
        recording, param = voice, "voice"
    elif voice is not None and recording is None:
        request.voice = voice
    if recording is not None:
        is_url = recording.startswith(URLS)
        loaded = await media.load(recording, "audio", param) if is_url else media.decode(recording, "", param)
        request.reference.audio.CopyFrom(loaded)
        request.reference.text = body.reference_text or body.ref_text or ""
    return request
