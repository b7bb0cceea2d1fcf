"""Transcriptions, translations, speech and voices, over the fake audio engine."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
import pytest_asyncio

from tests.support.edge import edge_server
from tests.support.service import RunningService, audio_service
from tests.support.sounds import file_of, samples_of, silence, tone

pytestmark = pytest.mark.asyncio(loop_scope="module")
LIMIT_S = 10.0  # only so that a failure ends
SOUND = file_of(np.concatenate([tone(440, 1), silence(1), tone(880, 0.5)]))
TEXT = "440 440 880"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service() -> AsyncIterator[RunningService]:
    async with audio_service() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(service: RunningService) -> AsyncIterator[httpx2.AsyncClient]:
    settings: dict[str, Any] = {"max_upload_bytes": 8_000_000, "media": {"allow_private_addresses": False}}
    async with (
        edge_server([service.address], **settings) as edge,
        httpx2.AsyncClient(base_url=edge.url, timeout=30) as client,
    ):
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sdk(http: httpx2.AsyncClient) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{http.base_url}/v1", api_key="none", max_retries=0) as client:
        yield client


def listened(**fields: Any) -> dict[str, Any]:
    return {"data": {"model": "fake-ear", **fields}, "files": {"file": ("a.wav", SOUND)}}


async def refused(http: httpx2.AsyncClient, path: str, **request: Any) -> tuple[int, str, str | None]:
    """Status, code and parameter of a request that must fail."""
    answer = await http.post(path, **request)
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


async def test_every_form_of_a_transcript(sdk: openai.AsyncOpenAI) -> None:
    ask: Any = sdk.audio.transcriptions.create
    given: dict[str, Any] = {"model": "fake-ear", "file": ("a.wav", SOUND)}
    plain = await ask(**given)
    assert plain.text == TEXT
    assert plain.usage.type == "tokens"
    assert await ask(**given, response_format="text") == f"{TEXT}\n"
    srt = await ask(**given, response_format="srt")
    assert srt.startswith("1\n00:00:00,000 --> 00:00:00,500\n440\n\n2\n")
    vtt = await ask(**given, response_format="vtt")
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:00.500\n440\n\n")
    verbose = await ask(**given, response_format="verbose_json", timestamp_granularities=["word", "segment"])
    assert (verbose.language, verbose.duration, verbose.text) == ("en", 2.5, TEXT)
    assert [(s.id, s.start, s.end) for s in verbose.segments] == [(0, 0.0, 0.5), (1, 0.5, 1.0), (2, 2.0, 2.5)]
    assert [(w.word, w.start) for w in verbose.words] == [("440", 0.0), ("440", 0.5), ("880", 2.0)]
    diarized = await ask(**given, response_format="diarized_json", chunking_strategy="auto")
    assert [s.speaker for s in diarized.segments] == ["A", "A", "A"]


async def test_a_transcript_as_a_stream(sdk: openai.AsyncOpenAI) -> None:
    stream = await sdk.audio.transcriptions.create(model="fake-ear", file=("a.wav", SOUND), stream=True)
    events: list[Any] = [event async for event in stream]
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == TEXT
    assert [event.type for event in events] == ["transcript.text.delta"] * 3 + ["transcript.text.done"]
    # The SDK's own types, checked strictly, are right about every event: usage, if any, is in tokens.
    assert [type(event).model_validate(event.to_dict()).type for event in events] == [event.type for event in events]


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # by OpenAI, not by those who use it
async def test_translation(sdk: openai.AsyncOpenAI) -> None:
    answer: Any = await sdk.audio.translations.create(
        model="fake-ear", file=("a.wav", SOUND), response_format="verbose_json"
    )
    assert (answer.text, answer.task) == (TEXT, "translate")


async def test_sound_in_json(http: httpx2.AsyncClient) -> None:
    data = base64.b64encode(SOUND).decode()
    body = {"model": "fake-ear", "language": "de", "input_audio": {"data": data, "format": "wav"}}
    answer = await http.post("/v1/audio/transcriptions", json=body)
    assert answer.json()["text"] == TEXT


@pytest.mark.parametrize("content", [b"", b"this is no sound", b"#EXTM3U\nfile:///etc/passwd\n"])
@pytest.mark.parametrize("stream", ["true", "false"])
async def test_what_is_no_sound(http: httpx2.AsyncClient, content: bytes, stream: str) -> None:
    request = {"data": {"model": "fake-ear", "stream": stream}, "files": {"file": ("a.wav", content)}}
    assert await refused(http, "/v1/audio/transcriptions", **request) == (400, "invalid_media", "file")


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"temperature": "2"}, "invalid_value", "temperature"),
        ({"temperature": "warm"}, "invalid_value", "temperature"),
        ({"language": "xx"}, "invalid_value", "language"),
        ({"response_format": "pdf"}, "invalid_value", "response_format"),
        ({"include[]": "logprobs"}, "unsupported_parameter", "include"),
        ({"languages[]": "de"}, "unsupported_parameter", "languages"),
        ({"unknown": "1"}, "unsupported_parameter", "unknown"),
        ({"stream": "true", "response_format": "srt"}, "invalid_value", "response_format"),
        ({"timestamp_granularities[]": "word"}, "invalid_value", "timestamp_granularities"),
        ({"chunking_strategy[type]": "server_vad", "chunking_strategy[threshold]": "7"}, "invalid_value", None),
        ({"model": "fake-voice"}, "wrong_model_kind", "model"),
        ({"model": "other"}, "model_not_found", "model"),
    ],
)
async def test_wrong_fields(http: httpx2.AsyncClient, fields: dict[str, str], code: str, param: str | None) -> None:
    _, found, named = await refused(http, "/v1/audio/transcriptions", **listened(**fields))
    assert found == code
    assert named == param or (param is None and str(named).startswith("chunking_strategy"))


async def test_a_file_is_needed_and_not_too_large(http: httpx2.AsyncClient) -> None:
    path = "/v1/audio/transcriptions"
    assert (await refused(http, path, json={"model": "fake-ear"}))[2] == "file"
    assert (await refused(http, path, json={"model": "fake-ear", "file": "a.wav"}))[2] == "file"
    assert (await refused(http, path, data={"model": "fake-ear"}, files={"other": b"x"}))[1:] == (
        "unsupported_parameter",
        "other",
    )
    large = {"data": {"model": "fake-ear"}, "files": {"file": bytes(9_000_000)}}
    assert (await refused(http, path, **large))[:2] == (413, "payload_too_large")
    broken = {"content": b"no form", "headers": {"content-type": "multipart/form-data; boundary=x"}}
    assert (await refused(http, path, **broken))[0] == 400


@pytest.mark.parametrize(
    ("form", "media_type"),
    [
        ("mp3", "audio/mpeg"),
        ("opus", "audio/ogg"),
        ("aac", "audio/aac"),
        ("flac", "audio/flac"),
        ("wav", "audio/wav"),
        ("pcm", "audio/pcm"),
    ],
)
async def test_speech_in_every_format(sdk: openai.AsyncOpenAI, form: Any, media_type: str) -> None:
    answer = sdk.audio.speech.with_streaming_response.create(
        model="fake-voice", voice="alloy", input="one two three", response_format=form, speed=0.5
    )
    async with answer as response:
        assert response.headers["content-type"] == media_type
        content = b"".join([piece async for piece in response.iter_bytes()])
    heard = samples_of(content, 24_000 if form == "pcm" else 0)
    assert len(heard) / 16_000 == pytest.approx(0.6, abs=0.12)
    assert 0.3 < np.abs(heard).max() < 0.7


async def test_speech_as_events(http: httpx2.AsyncClient) -> None:
    body = {"model": "fake-voice", "input": "one two", "response_format": "pcm", "stream_format": "sse"}
    answer = await http.post("/v1/audio/speech", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, done, last = [line.removeprefix("data: ") for line in answer.text.strip().split("\n\n")]
    assert last == "[DONE]"
    assert json.loads(done) == {
        "type": "speech.audio.done",
        "usage": {"input_tokens": 2, "output_tokens": 10, "total_tokens": 12},
    }
    sound = b"".join(base64.b64decode(json.loads(event)["audio"]) for event in events)
    assert len(sound) == pytest.approx(2 * 24_000 * 0.2, abs=200)


async def test_a_voice_like_a_recording(http: httpx2.AsyncClient) -> None:
    data = base64.b64encode(SOUND).decode()
    body = {"model": "fake-voice", "input": "one", "response_format": "pcm"}
    for given in ({"reference_audio": data, "reference_text": "x"}, {"voice": f"data:audio/wav;base64,{data}"}):
        assert (await http.post("/v1/audio/speech", json=body | given)).status_code == 200
    private = body | {"reference_audio": "http://127.0.0.1:1/a.wav"}
    assert await refused(http, "/v1/audio/speech", json=private) == (400, "invalid_media", "reference_audio")
    wrong = body | {"reference_audio": base64.b64encode(b"no sound").decode()}
    assert await refused(http, "/v1/audio/speech", json=wrong) == (400, "invalid_media", "reference_audio")


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"input": " "}, "invalid_value", "input"),
        ({"speed": 5}, "invalid_value", "speed"),
        ({"voice": "nobody"}, "invalid_value", "voice"),
        ({"response_format": "midi"}, "invalid_value", "response_format"),
        ({"instructions": "Whisper."}, "unsupported_parameter", "instructions"),
        ({"emotion": "sad"}, "unsupported_parameter", "emotion"),
        ({"model": "fake-ear"}, "wrong_model_kind", "model"),
    ],
)
async def test_wrong_speech(http: httpx2.AsyncClient, fields: dict[str, Any], code: str, param: str) -> None:
    body = {"model": "fake-voice", "input": "one"} | fields
    assert await refused(http, "/v1/audio/speech", json=body) == (400, code, param)


async def test_voices(http: httpx2.AsyncClient) -> None:
    voices = (await http.get("/v1/audio/voices")).json()["voices"]
    assert [(voice["id"], voice["model"], voice["is_default"]) for voice in voices] == [
        ("low", "fake-voice", True),
        ("high", "fake-voice", False),
    ]
    assert (await http.get("/v1/audio/voices?model=fake-ear")).status_code == 400


@pytest.mark.parametrize("phase", ["prepare", "synthesize"])
async def test_who_leaves_stops_speech(service: RunningService, http: httpx2.AsyncClient, phase: str) -> None:
    engine = service.engines["fake-voice"]
    await _left(engine, phase, http.post("/v1/audio/speech", json={"model": "fake-voice", "input": "word " * 99}))


@pytest.mark.parametrize("phase", ["prepare", "transcribe"])
@pytest.mark.parametrize("stream", ["true", "false"])
async def test_who_leaves_stops_listening(
    service: RunningService, http: httpx2.AsyncClient, phase: str, stream: str
) -> None:
    engine = service.engines["fake-ear"]
    await _left(engine, phase, http.post("/v1/audio/transcriptions", **listened(stream=stream)))


async def _left(engine: Any, phase: str, request: Any) -> None:
    engine.gates[phase].shut()
    computed = engine.computed
    asking = asyncio.create_task(request)
    await asyncio.wait_for(engine.gates[phase].reached.wait(), LIMIT_S)
    asking.cancel()
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(asking, return_exceptions=True)
        await engine.idle.wait()
    engine.gates[phase].open()
    assert engine.running() == 0
    assert engine.computed == computed


async def test_sound_comes_before_the_end_of_its_making(service: RunningService, http: httpx2.AsyncClient) -> None:
    engine = service.engines["fake-voice"]
    body = {"model": "fake-voice", "input": "word " * 300, "response_format": "pcm"}
    computed = engine.computed
    async with http.stream("POST", "/v1/audio/speech", json=body) as answer:
        async for piece in answer.aiter_bytes():
            assert piece
            assert engine.computed - computed < 300
            break


async def test_a_failure_before_the_first_sound_is_an_error(http: httpx2.AsyncClient) -> None:
    body = {"model": "fake-voice", "input": '{"fake":{"fail":true}}'}
    assert (await refused(http, "/v1/audio/speech", json=body))[:2] == (503, "engine_unavailable")
