"""Streams, asserted on the bytes of the wire: the numbers are those of the rules that real clients need."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from gpt_server.llm.v1 import llm_service_pb2 as pb
from tests.edge.asking import chat, completion
from tests.edge.stub import STARTED, Stub, finished, text
from tests.support.edge import RunningEdge, edge_server
from tests.support.raw import events_of, raw_post
from tests.support.service import RunningService

TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("f", "g")]
CALLS = [{"name": "f", "arguments": {"x": 1, "y": "two words"}}, {"name": "g", "arguments": {}}]


async def stream(edge: RunningEdge, path: str = "/v1/chat/completions", **body: Any) -> bytes:
    """Returns the whole body of a stream."""
    async with raw_post(edge.url, path, body | {"stream": True}) as answer:
        assert answer.status == 200
        await answer.read_all()
        assert answer.complete
        return answer.body


def deltas_of(body: bytes, index: int = 0) -> list[Any]:
    """Returns the deltas of one choice."""
    return [c["delta"] for event in events_of(body) for c in event["choices"] if c["index"] == index]


async def test_rule_1_plain_events(edge: RunningEdge) -> None:
    async with raw_post(edge.url, "/v1/chat/completions", chat(stream=True)) as answer:
        body = await answer.read_all()
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert b"\r" not in body
    for event in body.removesuffix(b"\n\n").split(b"\n\n"):
        assert event.startswith(b"data: ")
        assert b"\n" not in event


async def test_rules_2_and_3_role_first_once_and_in_order(edge: RunningEdge) -> None:
    events = events_of(await stream(edge, **chat(n=2)))
    first = [event["choices"][0] for event in events[:2]]
    assert [choice["index"] for choice in first] == [0, 1]
    assert all(choice["delta"] == {"role": "assistant", "content": ""} for choice in first)
    assert not any("role" in choice["delta"] for event in events[2:] for choice in event["choices"])


async def test_rules_3_and_4_tool_calls_in_fragments(edge: RunningEdge) -> None:
    body = await stream(edge, **chat(tools=TOOLS, fake={"tool_calls": CALLS}))
    fragments = [fragment for delta in deltas_of(body) for fragment in delta.get("tool_calls", [])]
    assert all("arguments" in fragment["function"] for fragment in fragments)
    opening = [fragment for fragment in fragments if "id" in fragment]
    assert [(f["index"], f["type"], f["function"]["name"]) for f in opening] == [
        (0, "function", "f"),
        (1, "function", "g"),
    ]
    assert len({fragment["id"] for fragment in opening}) == 2
    assert all(
        f.keys() == {"index", "function"} and f["function"].keys() == {"arguments"} for f in fragments if "id" not in f
    )
    assert [f["index"] for f in fragments] == sorted(f["index"] for f in fragments)
    whole = ["".join(f["function"]["arguments"] for f in fragments if f["index"] == index) for index in (0, 1)]
    assert [json.loads(arguments) for arguments in whole] == [call["arguments"] for call in CALLS]
    assert events_of(body)[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_rule_4_one_fragment_of_a_call_in_a_chunk(stub: Stub, stub_edge: RunningEdge) -> None:
    """The helper of openai 2.x drops a second fragment of a call that the same chunk begins."""
    fragments = [
        pb.ToolCallDelta(index=0, id="a", name="f"),
        pb.ToolCallDelta(index=0, arguments='{"x'),
        pb.ToolCallDelta(index=0, arguments='": 1}'),
        pb.ToolCallDelta(index=1, id="b", name="g", arguments="{}"),
    ]

    async def play(stub: Stub, request: Any, context: Any) -> AsyncIterator[pb.GenerateResponse]:
        yield STARTED
        yield pb.GenerateResponse(deltas=[pb.Delta(tool_calls=fragments)])
        yield finished()

    stub.play = play
    (sent,) = [d["tool_calls"] for d in deltas_of(await stream(stub_edge, **chat(model="m"))) if "tool_calls" in d]
    assert [(f["index"], f["id"], f["function"]["arguments"]) for f in sent] == [(0, "a", '{"x": 1}'), (1, "b", "{}")]


async def test_rule_5_one_finish_per_choice(edge: RunningEdge) -> None:
    events = events_of(await stream(edge, **chat(n=2)))
    ends = [choice for event in events for choice in event["choices"] if choice["finish_reason"] is not None]
    assert [(end["index"], end["delta"], end["finish_reason"]) for end in ends] == [(0, {}, "stop"), (1, {}, "stop")]


async def test_rule_6_usage_last_and_only_if_asked_for(edge: RunningEdge) -> None:
    plain = events_of(await stream(edge, **chat()))
    assert not any("usage" in event for event in plain)
    *others, last = events_of(await stream(edge, **chat(stream_options={"include_usage": True})))
    assert all(event["usage"] is None and event["choices"] for event in others)
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens"] == 3
    assert last["usage"]["total_tokens"] == 3 + last["usage"]["completion_tokens"] == 3 + 5


async def test_rules_7_and_11_same_head_and_choices_in_every_chunk(edge: RunningEdge) -> None:
    events = events_of(await stream(edge, **chat(stream_options={"include_usage": True})))
    heads = {(e["id"], e["created"], e["model"], e["object"], e["system_fingerprint"]) for e in events}
    assert len(heads) == 1
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert all("choices" in event for event in events)


async def test_rules_8_and_10_done_and_a_blank_line(edge: RunningEdge) -> None:
    assert (await stream(edge, **chat())).endswith(b"}\n\ndata: [DONE]\n\n")
    assert (await stream(edge, "/v1/completions", **completion())).endswith(b"}\n\ndata: [DONE]\n\n")


async def test_reasoning_goes_by_both_names(edge: RunningEdge) -> None:
    fake = {"reasoning": "let me see", "reply": "four"}
    deltas = deltas_of(await stream(edge, **chat(fake=fake)))
    for name in ("reasoning", "reasoning_content"):
        assert "".join(delta.get(name, "") for delta in deltas) == "let me see"
    assert "".join(delta.get("content", "") for delta in deltas) == "four"
    hidden = deltas_of(await stream(edge, **chat(fake=fake, include_reasoning=False)))
    assert not any("reasoning" in delta or "reasoning_content" in delta for delta in hidden)
    assert not any(not delta for delta in hidden[:-1])


async def test_one_message_is_one_piece_of_the_body(stub: Stub, stub_edge: RunningEdge) -> None:
    async def play(stub: Stub, request: Any, context: Any) -> AsyncIterator[pb.GenerateResponse]:
        yield STARTED
        message = text("a", "b", 'ü\u2028"\\')
        message.MergeFrom(finished())
        yield message

    stub.play = play
    async with raw_post(stub_edge.url, "/v1/chat/completions", chat(model="m", stream=True)) as answer:
        body = await answer.read_all()
    assert len(answer.chunks) == 2
    assert answer.chunks[1].count(b"data: ") == 5
    assert [delta.get("content") for delta in deltas_of(body)] == ["", "a", "b", 'ü\u2028"\\', None]


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/chat/completions", chat(model="m")), ("/v1/completions", completion(model="m"))]
)
async def test_comments_in_silence(stub: Stub, path: str, body: dict[str, Any]) -> None:
    silence, prefill = asyncio.Event(), asyncio.Event()

    async def play(stub: Stub, request: Any, context: Any) -> AsyncIterator[pb.GenerateResponse]:
        yield STARTED
        await prefill.wait()
        yield text("a")
        await silence.wait()
        yield finished()

    stub.play = play
    async with (
        edge_server([stub.address], sse_keep_alive_s=0.02) as edge,
        raw_post(edge.url, path, body | {"stream": True}) as answer,
    ):
        await answer.read_until(b": keep-alive\n\n")
        prefill.set()
        await answer.read_until(b'"a"')
        before = len(answer.body)
        await answer.read_until(answer.body + b": keep-alive\n\n")
        assert answer.body[before:].strip(b"\n") in (b": keep-alive", b": keep-alive\n\n: keep-alive")
        silence.set()
        assert (await answer.read_all()).endswith(b"data: [DONE]\n\n")


async def test_no_comments_while_there_is_output(edge: RunningEdge) -> None:
    assert b": keep-alive" not in await stream(edge, **chat(fake={"tokens": 500}))


@pytest.mark.parametrize("fields", [{}, {"logprobs": True, "top_logprobs": 2}, {"return_token_ids": True}, {"n": 2}])
async def test_a_stream_says_what_a_whole_answer_says(
    edge: RunningEdge, http: httpx2.AsyncClient, fields: dict[str, Any]
) -> None:
    body = chat(fake={"reasoning": "hm well", "reply": "one two three"}, seed=1, **fields)
    whole = (await http.post("/v1/chat/completions", json=body)).json()
    events = events_of(await stream(edge, **body))
    for choice in whole["choices"]:
        pieces = [c for event in events for c in event["choices"] if c["index"] == choice["index"]]
        for name in ("content", "reasoning", "reasoning_content"):
            assert "".join(piece["delta"].get(name, "") for piece in pieces) == choice["message"][name]
        scores = [score for piece in pieces if piece["logprobs"] for score in piece["logprobs"]["content"]]
        assert scores == (choice["logprobs"]["content"] if "logprobs" in fields else [])
        ids = [token for piece in pieces for token in piece.get("token_ids", [])]
        assert ids == choice.get("token_ids", [])
        assert pieces[-1]["finish_reason"] == choice["finish_reason"]
    assert events[0].get("prompt_token_ids") == whole.get("prompt_token_ids")


async def test_usage_in_every_chunk(edge: RunningEdge) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    events = events_of(await stream(edge, **chat(fake={"reply": "a b c"}, stream_options=options)))
    assert [event["usage"]["completion_tokens"] for event in events] == [0, 1, 2, 3, 3, 3]
    assert all(event["usage"]["prompt_tokens"] == 3 for event in events)
    assert not any("token_ids" in choice for event in events for choice in event["choices"])


async def test_the_stop_that_was_met(edge: RunningEdge, http: httpx2.AsyncClient) -> None:
    body = chat(fake={"reply": "one two three"}, stop="two")
    assert events_of(await stream(edge, **body))[-1]["choices"][0]["stop_reason"] == "two"
    assert (await http.post("/v1/chat/completions", json=body)).json()["choices"][0]["stop_reason"] == "two"


async def test_streaming_is_asked_for_by_the_body_alone(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/v1/chat/completions", json=chat(), headers={"accept": "text/event-stream"})
    assert answer.headers["content-type"] == "application/json"
    answer = await http.post("/v1/chat/completions", json=chat(stream=True), headers={"accept": "application/json"})
    assert answer.headers["content-type"].startswith("text/event-stream")


async def test_a_slow_reader_slows_the_model_down(stub: Stub, stub_edge: RunningEdge) -> None:
    """Nothing piles up in the edge: the service can send no more than sockets and flow-control windows hold."""
    messages, size = 4000, 16 * 1024
    sent = 0
    progress = asyncio.Event()

    async def play(stub: Stub, request: Any, context: Any) -> AsyncIterator[pb.GenerateResponse]:
        nonlocal sent
        yield STARTED
        for _ in range(messages):
            yield text("x" * size)
            sent += 1
            progress.set()
        yield finished()

    async def stalled() -> None:
        while True:
            progress.clear()
            try:
                await asyncio.wait_for(progress.wait(), 0.5)
            except TimeoutError:
                return

    stub.play = play
    async with raw_post(stub_edge.url, "/v1/chat/completions", chat(model="m", stream=True)) as answer:
        await stalled()
        assert 0 < sent < messages // 2
        body = await answer.read_all()
    assert sent == messages
    assert body.count(b"x" * size) == messages
    assert body.endswith(b"data: [DONE]\n\n")


async def test_a_queued_stream_waits_for_its_head(edge: RunningEdge, service: RunningService) -> None:
    """`Started` comes before any computing: the head of the answer is there while the model has not begun."""
    service.engines["fake-chat"].gates["prefill"].shut()
    async with raw_post(edge.url, "/v1/chat/completions", chat(stream=True)) as answer:
        await answer.read_until(b'"role":"assistant"')
        service.engines["fake-chat"].gates["prefill"].open()
        assert (await answer.read_all()).endswith(b"data: [DONE]\n\n")
