"""Transcripts and speech as OpenAI's clients read them."""

import base64
import math
import zlib
from collections.abc import Iterator
from typing import Any

import orjson
from starlette.responses import Response

from gpt_server.audio.v1 import speech_pb2
from gpt_server.audio.v1 import transcription_pb2 as pb
from gpt_server.edge.audio import Transcript
from gpt_server.edge.schemas.audio import ListeningBody, TranscriptionRequest

MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
"""`Content-Type` of speech, by its format."""


def transcription(body: ListeningBody, task: str, transcript: Transcript) -> Response:
    """Returns a transcript in the form that was asked for."""
    form: str = getattr(body, "response_format")  # noqa: B009 (each dialect has its own)
    if form == "text":
        return _plain(f"{transcript.text}\n", "text/plain")
    if form == "srt":
        return _plain("".join(_captions(transcript, ",", numbered=True)), "application/x-subrip")
    if form == "vtt":
        return _plain("WEBVTT\n\n" + "".join(_captions(transcript, ".", numbered=False)), "text/vtt")
    shown: dict[str, Any] = {"text": transcript.text, "usage": usage(transcript.finished)}
    if form == "verbose_json":
        shown |= _verbose(body, task, transcript)
    if form == "diarized_json":
        segments = [diarized(segment, i) for i, segment in enumerate(transcript.segments)]
        shown |= {"task": task, "duration": round(transcript.finished.duration_s, 3), "segments": segments}
    return Response(orjson.dumps(shown), media_type="application/json")


def usage(finished: pb.TranscriptionFinished) -> dict[str, Any]:
    """Returns what is billed: tokens if the engine counts them, else started seconds."""
    if not finished.HasField("usage"):
        return {"type": "duration", "seconds": math.ceil(finished.duration_s)}
    return {"type": "tokens", **_tokens(finished.usage.prompt_tokens, finished.usage.completion_tokens)}


def stream_usage(finished: pb.TranscriptionFinished) -> dict[str, Any]:
    """Returns the field of a stream's last event: OpenAI has it for models that count tokens, and none for others."""
    return {"usage": usage(finished)} if finished.HasField("usage") else {}


def event(kind: str, **fields: Any) -> bytes:
    """Returns one event of a stream."""
    return b"data: " + orjson.dumps({"type": kind, **fields}) + b"\n\n"


def heard(body: TranscriptionRequest, message: pb.TranscribeResponse, already: int) -> bytes:
    """Returns the events of new segments. `already`: how many came before."""
    events = b""
    for i, segment in enumerate(message.segments, already):
        text = segment.text if i else segment.text.lstrip()
        if body.response_format == "diarized_json":
            events += event("transcript.text.segment", **{**diarized(segment, i), "type": "transcript.text.segment"})
        else:
            events += event("transcript.text.delta", delta=text)
    return events


def spoken(audio: bytes) -> bytes:
    """Returns the event of new sound."""
    return event("speech.audio.delta", audio=base64.b64encode(audio).decode())


def speech_done(finished: speech_pb2.SpeechFinished) -> bytes:
    """Returns the last event of speech."""
    return event("speech.audio.done", usage=_tokens(finished.usage.prompt_tokens, finished.usage.completion_tokens))


def diarized(segment: pb.Segment, number: int) -> dict[str, Any]:
    """Returns a segment with its speaker."""
    return {
        "type": "transcript.text.segment",
        "id": f"seg_{number}",
        "start": round(segment.start_s, 3),
        "end": round(segment.end_s, 3),
        "text": segment.text,
        "speaker": segment.speaker,
    }


def _tokens(given: int, made: int) -> dict[str, int]:
    return {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}


def _plain(text: str, media_type: str) -> Response:
    return Response(text, headers={"content-type": f"{media_type}; charset=utf-8"})


def _verbose(body: ListeningBody, task: str, transcript: Transcript) -> dict[str, Any]:
    wanted = getattr(body, "timestamp_granularities", None) or ["segment"]
    shown: dict[str, Any] = {
        "task": task,
        "language": transcript.finished.language,
        "duration": round(transcript.finished.duration_s, 3),
        "usage": {"type": "duration", "seconds": math.ceil(transcript.finished.duration_s)},
    }
    if "segment" in wanted:
        shown["segments"] = [_segment(body, segment, i) for i, segment in enumerate(transcript.segments)]
    if "word" in wanted:
        words = [word for segment in transcript.segments for word in segment.words]
        shown["words"] = [
            {"word": word.text, "start": round(word.start_s, 3), "end": round(word.end_s, 3)} for word in words
        ]
    return shown


def _segment(body: ListeningBody, segment: pb.Segment, number: int) -> dict[str, Any]:
    """Returns a segment as Whisper describes it; what the engine does not say is `null`."""
    text = segment.text.encode()
    return {
        "id": number,
        "seek": 0,
        "start": round(segment.start_s, 3),
        "end": round(segment.end_s, 3),
        "text": segment.text,
        "tokens": [],
        "temperature": body.temperature or 0.0,
        "avg_logprob": segment.avg_logprob if segment.HasField("avg_logprob") else None,
        "compression_ratio": len(text) / len(zlib.compress(text)),
        "no_speech_prob": segment.no_speech_prob if segment.HasField("no_speech_prob") else None,
    }


def _captions(transcript: Transcript, point: str, *, numbered: bool) -> Iterator[str]:
    for number, segment in enumerate(transcript.segments, 1):
        head = f"{number}\n" if numbered else ""
        yield f"{head}{_time(segment.start_s, point)} --> {_time(segment.end_s, point)}\n{segment.text.strip()}\n\n"


def _time(time_s: float, point: str) -> str:
    whole_ms = round(time_s * 1000)
    whole_s, ms = divmod(whole_ms, 1000)
    return f"{whole_s // 3600:02}:{whole_s // 60 % 60:02}:{whole_s % 60:02}{point}{ms:03}"
