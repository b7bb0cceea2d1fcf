"""The audio service over the fake engine: answers, formats, refusals, faults, leaving callers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest

from gpt_server.audio.v1 import audio_service_pb2 as pb
from gpt_server.audio.v1 import audio_service_pb2_grpc, speech_pb2, transcription_pb2
from gpt_server.common.v1 import media_pb2
from gpt_server.services.audio.requests import FORMATS
from tests.services.asking import refusal, rest
from tests.services.audio_asking import messages, say, synthesize, text_of, transcribe
from tests.support.service import RunningService, audio_service
from tests.support.sounds import file_of, samples_of, silence, tone

LIMIT_S = 10.0  # only so that a failure ends
Stub = Any
RAW = transcription_pb2.PcmFormat(sample_rate_hz=16_000)
LIVE = transcription_pb2.TranscriptionConfig(model="fake-ear", pcm=RAW)


@pytest.fixture
async def service() -> AsyncIterator[RunningService]:
    """An ear and a voice, one slot and one place in the queue each."""
    limits = {"max_running": 1, "max_queued": 1}
    models = {
        f"fake-{name}": {"engine": "fake", "model": "none", "limits": limits, "engine_args": {"task": task}}
        for name, task in (("ear", "transcription"), ("voice", "speech"))
    }
    async with audio_service(models) as running:
        yield running


@pytest.fixture
async def stub(service: RunningService) -> AsyncIterator[Stub]:
    async with grpc.aio.insecure_channel(service.address) as channel:
        yield audio_service_pb2_grpc.AudioServiceStub(channel)


async def test_whole_or_in_pieces_is_the_same(stub: Stub) -> None:
    content = file_of(np.concatenate([tone(440), silence(1), tone(880)]))
    whole = await transcribe(stub, content, word_timestamps=True)
    assert text_of(whole) == "440 440 440 440 880 880 880 880"
    segments = [segment for response in whole for segment in response.segments]
    assert [(s.start_s, s.end_s) for s in segments[:2]] == [(0.0, 0.5), (0.5, 1.0)]
    assert segments[4].words[0].start_s == 3.0
    in_pieces = await transcribe(stub, content, piece=777, word_timestamps=True)
    assert [s for r in in_pieces for s in r.segments] == segments


async def test_first_comes_started_and_last_finished(stub: Stub) -> None:
    responses = await transcribe(stub, file_of(tone(), rate_hz=16_000))
    assert [response.HasField("started") for response in responses] == [True, *[False] * (len(responses) - 1)]
    assert [response.HasField("finished") for response in responses] == [*[False] * (len(responses) - 1), True]
    assert responses[0].started.sample_rate_hz == 16_000
    finished = responses[-1].finished
    assert (finished.language, finished.duration_s, finished.usage.completion_tokens) == ("en", 2.0, 4)
    assert finished.timings.HasField("first_segment_s")


@pytest.mark.parametrize("form", ["wav", "mp3", "opus", "aac", "flac"])
async def test_every_format_is_read(stub: Stub, form: Any) -> None:
    assert text_of(await transcribe(stub, file_of(tone(), form))).startswith("440 440 440")


async def test_raw_samples_are_written_down_while_they_are_recorded(stub: Stub) -> None:
    call = stub.Transcribe()
    await call.write(transcription_pb2.TranscribeRequest(config=LIVE))
    second = file_of(tone(duration_s=1.0), "pcm")
    await call.write(transcription_pb2.TranscribeRequest(audio=second * 3))
    assert (await call.read()).HasField("started")
    assert (await call.read()).segments[0].text == "440"
    await call.done_writing()
    left: list[Any] = [*await rest(call)]
    assert left[-1].finished.duration_s == 3.0


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"temperature": 2.0}, "config.temperature"),
        ({"language": "xx"}, "config.language"),
        ({"task": 9}, "config.task"),
        ({"voice_activity": {"threshold": 1.0}}, "config.voice_activity.threshold"),
        ({"voice_activity": {"silence_duration_ms": 1}}, "config.voice_activity.silence_duration_ms"),
        ({"pcm": {"sample_rate_hz": 1}}, "config.pcm.sample_rate_hz"),
        ({"prompt": '{"fake": {"x": 1}}'}, "config.prompt"),
    ],
)
async def test_wrong_configurations(stub: Stub, config: dict[str, Any], field: str) -> None:
    refused = await refusal(transcribe(stub, file_of(tone()), **config))
    assert (refused.reason, refused.field) == ("INVALID_FIELD", field)


@pytest.mark.parametrize("content", [b"", b"no sound at all", file_of(tone())[:30], b"#EXTM3U\nfile:///etc/passwd\n"])
async def test_what_is_no_sound(stub: Stub, content: bytes) -> None:
    refused = await refusal(transcribe(stub, content))
    assert (refused.reason, refused.field) == ("INVALID_MEDIA", "audio")
    assert "passwd" not in refused.message


async def test_the_first_message_has_the_configuration(stub: Stub) -> None:
    async def wrong() -> AsyncIterator[Any]:
        yield transcription_pb2.TranscribeRequest(audio=b"x")

    refused = await refusal(_all(stub.Transcribe(wrong())))
    assert (refused.reason, refused.field) == ("INVALID_FIELD", "config")


async def test_models_do_what_they_do(stub: Stub) -> None:
    assert (await refusal(transcribe(stub, b"x", model="fake-voice"))).reason == "WRONG_MODEL_KIND"
    assert (await refusal(synthesize(stub, say("x", model="fake-ear")))).reason == "WRONG_MODEL_KIND"
    assert (await refusal(synthesize(stub, say("x", model="other")))).reason == "MODEL_NOT_FOUND"
    assert (await refusal(stub.ListVoices(pb.ListVoicesRequest(model="fake-ear")))).reason == "WRONG_MODEL_KIND"


@pytest.mark.parametrize("number", FORMATS)
async def test_speech_in_every_format(stub: Stub, number: Any) -> None:
    sound, responses = await synthesize(stub, say("one two three", format=number))
    started, finished = responses[0].started, responses[-1].finished
    assert (started.format, started.sample_rate_hz, started.channels) == (number, 24_000, 1)
    assert finished.duration_s == pytest.approx(0.3)
    assert (finished.usage.prompt_tokens, finished.usage.completion_tokens) == (3, 15)
    heard = samples_of(sound, 24_000 if FORMATS[number] == "pcm" else 0)
    assert len(heard) / 16_000 == pytest.approx(0.3, abs=0.1)  # MP3 and AAC have a beginning and an end of their own
    assert 0.3 < np.abs(heard).max() < 0.7


async def test_the_first_sound_comes_before_the_last_word(service: RunningService, stub: Stub) -> None:
    engine = service.engines["fake-voice"]
    call = stub.Synthesize(say("word " * 100))
    await call.read()
    assert (await call.read()).audio
    assert engine.computed < 100
    await rest(call)


@pytest.mark.parametrize("speed", [0.25, 0.5, 2.0, 4.0])
async def test_other_speeds_at_the_same_pitch(stub: Stub, speed: float) -> None:
    sound, _ = await synthesize(stub, say("words " * 20, speed=speed))
    heard = samples_of(sound, 24_000)
    assert len(heard) / 16_000 == pytest.approx(2 / speed, rel=0.1)
    middle = heard[len(heard) // 4 : -len(heard) // 4]
    assert np.abs(np.fft.rfft(middle)).argmax() * 16_000 / len(middle) == pytest.approx(150, abs=8)


async def test_voices(stub: Stub) -> None:
    listed = await stub.ListVoices(pb.ListVoicesRequest(model="fake-voice"))
    assert [voice.name for voice in listed.voices] == ["low", "high"]
    assert listed.default_voice == "low"
    low, _ = await synthesize(stub, say("word"))
    alias, _ = await synthesize(stub, say("word", voice="Onyx"))
    high, _ = await synthesize(stub, say("word", voice="high"))
    assert low == alias != high


async def test_a_reference_is_decoded(stub: Stub) -> None:
    def reference(content: bytes) -> Any:
        return speech_pb2.VoiceReference(audio=media_pb2.Media(content=content), text="said")

    sound, _ = await synthesize(stub, say("word", reference=reference(file_of(tone(), "mp3"))))
    assert sound
    for content in (b"no sound", file_of(tone(duration_s=0.2)), file_of(tone(duration_s=61))):
        refused = await refusal(synthesize(stub, say("word", reference=reference(content))))
        assert (refused.reason, refused.field) == ("INVALID_MEDIA", "reference.audio.content")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"input": " \n"}, "input"),
        ({"input": "x" * 100_001}, "input"),
        ({"speed": 0.2}, "speed"),
        ({"speed": 4.1}, "speed"),
        ({"pitch": 3.0}, "pitch"),
        ({"voice": "nobody"}, "voice"),
        ({"language": "xx"}, "language"),
        ({"format": 9}, "format"),
        ({"format": speech_pb2.AUDIO_FORMAT_OPUS, "sample_rate_hz": 22_050}, "sample_rate_hz"),
        ({"sample_rate_hz": 1}, "sample_rate_hz"),
    ],
)
async def test_wrong_requests_for_speech(stub: Stub, fields: dict[str, Any], field: str) -> None:
    refused = await refusal(synthesize(stub, say(**({"text": fields.pop("input", "word")} | fields))))
    assert (refused.reason, refused.field) == ("INVALID_FIELD", field)


async def test_what_the_engine_cannot_do_is_refused(stub: Stub) -> None:
    refused = await refusal(synthesize(stub, say("word", instructions="Whisper.")))
    assert (refused.reason, refused.field) == ("UNSUPPORTED_FEATURE", "instructions")


@pytest.mark.parametrize(("script", "reason"), [("fail", "ENGINE_UNAVAILABLE"), ("crash", "INTERNAL")])
async def test_faults(stub: Stub, script: str, reason: str) -> None:
    text = f'{{"fake":{{"{script}":true}}}}'
    for call in (synthesize(stub, say(text)), transcribe(stub, file_of(tone()), prompt=text)):
        refused = await refusal(call)
        assert refused.reason == reason
        assert "secret" not in refused.message


@pytest.mark.parametrize("phase", ["prepare", "transcribe"])
async def test_a_caller_who_leaves_while_it_listens(service: RunningService, stub: Stub, phase: str) -> None:
    engine, admission = service.engines["fake-ear"], service.admissions["fake-ear"]
    engine.gates[phase].shut()
    call = stub.Transcribe(messages(file_of(tone()) * 50, 10_000))
    await _left(call, engine, admission, phase)


async def test_a_caller_who_leaves_while_it_sends(service: RunningService, stub: Stub) -> None:
    """The decoder waits for bytes that never come."""
    engine, admission = service.engines["fake-ear"], service.admissions["fake-ear"]
    call = stub.Transcribe()
    await call.write(transcription_pb2.TranscribeRequest(config=LIVE))
    await call.write(transcription_pb2.TranscribeRequest(audio=file_of(tone(), "pcm")))
    await call.read()
    call.cancel()
    async with asyncio.timeout(LIMIT_S):
        await admission.changes.until(lambda: admission.running == 0)
        await engine.idle.wait()


@pytest.mark.parametrize("phase", ["prepare", "synthesize"])
async def test_a_caller_who_leaves_while_it_speaks(service: RunningService, stub: Stub, phase: str) -> None:
    engine, admission = service.engines["fake-voice"], service.admissions["fake-voice"]
    engine.gates[phase].shut()
    await _left(stub.Synthesize(say("word " * 100)), engine, admission, phase)


async def _left(call: Any, engine: Any, admission: Any, phase: str) -> None:
    await asyncio.wait_for(engine.gates[phase].reached.wait(), LIMIT_S)
    assert admission.running == 1
    call.cancel()
    async with asyncio.timeout(LIMIT_S):
        await admission.changes.until(lambda: admission.running == 0)
        await engine.idle.wait()
    assert engine.running() == engine.computed == 0


async def test_a_full_queue_refuses(service: RunningService, stub: Stub) -> None:
    engine, admission = service.engines["fake-voice"], service.admissions["fake-voice"]
    engine.gates["synthesize"].shut()
    running, queued = stub.Synthesize(say("word")), stub.Synthesize(say("word"))
    await running.read()
    await queued.read()
    refused = await refusal(synthesize(stub, say("word")))
    assert refused.reason == "OVERLOADED"
    queued.cancel()
    async with asyncio.timeout(LIMIT_S):
        await admission.changes.until(lambda: admission.queued == 0)
    engine.gates["synthesize"].open()
    await rest(running)


async def test_describe(stub: Stub) -> None:
    ear = await stub.Describe(pb.DescribeRequest(model="fake-ear"))
    assert [*ear.transcription_languages] == ["de", "en"]
    assert ear.speech_sample_rate_hz == 0
    assert (await stub.Describe(pb.DescribeRequest(model="fake-voice"))).speech_sample_rate_hz == 24_000


async def _all(call: Any) -> list[Any]:
    return [response async for response in call]
