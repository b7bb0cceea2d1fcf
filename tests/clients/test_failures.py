"""What each client makes of a failure, and what it leaves behind when it goes away."""

import asyncio
from typing import Any

import pytest

from tests.clients.conftest import CHAT, ENDLESS, FAKE, Server, script
from tests.clients.marks import clients
from tests.clients.program import Program

pytestmark = pytest.mark.asyncio(loop_scope="session")

HELLO = {"model": FAKE, "say": "hello"}
OVERFLOW = {"langchain": "ContextOverflowError", "litellm": "ContextWindowExceededError"}
"""Exceptions by which clients tell that a prompt is too long; the others show the code."""


@clients()
@pytest.mark.parametrize("verb", ["chat", "stream"])
@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"model": "nobody"}, 404, "The model `nobody` does not exist"),
        ({"key": "wrong"}, 401, "API key is not known"),
        ({"options": {"temperature": 9}}, 400, "Invalid value for 'temperature': must be between 0 and 2; got 9"),
        ({"extra": {"suffix_": 1}}, 400, "suffix_"),
    ],
    ids=["model", "key", "value", "field"],
)
async def test_error_says_what_is_wrong(
    client: Program, verb: str, change: dict[str, Any], status: int, said: str
) -> None:
    error = await client.error(verb, **HELLO | change)
    assert error["status"] == status
    assert said in error["text"]


@clients()
@pytest.mark.parametrize("verb", ["chat", "stream"])
async def test_prompt_that_is_too_long_is_known_as_such(client: Program, server: Server, verb: str) -> None:
    error = await client.error(verb, model=CHAT, say="word " * await server.context_tokens())
    assert error["status"] == 400
    assert (
        OVERFLOW[client.name] in error["is"] if client.name in OVERFLOW else error["code"] == "context_length_exceeded"
    )


@clients()
async def test_stream_that_breaks_is_an_error(client: Program) -> None:
    reply = await client.ask("stream", **HELLO, extra=script(tokens=5, fail_after=2))
    assert len(reply["before"].split()) == 2
    assert "the engine has failed" in reply["raised"]["text"]


@clients()
async def test_failure_is_tried_again_after_the_time_told(client: Program, server: Server) -> None:
    before = await server.attempts("engine_unavailable")
    reply = await client.ask("chat", **HELLO, retries=2, extra=script(tokens=5, fail_after=2))
    assert reply["raised"]["status"] == 503
    assert reply["pauses_s"] == [1, 1]
    assert await server.attempts("engine_unavailable") == before + 3


@clients()
async def test_overload_is_tried_again_until_there_is_room(client: Program, server: Server) -> None:
    async with server.busy() as told_s:
        read = len(server.stack.lines)
        asking = asyncio.create_task(client.ask("chat", **HELLO, retries=5))
        await server.refused(after=read)
    reply = await asking
    assert reply["choices"][0]["text"] == "You said: hello"
    assert reply["pauses_s"] == [told_s]


@clients()
async def test_overload_without_trying_again(client: Program, server: Server) -> None:
    async with server.busy():
        error = await client.error("chat", **HELLO)
    assert error["status"] == 429
    assert "at its limits" in error["text"]


@clients("x-should-retry")
async def test_what_must_not_be_tried_again_is_not(client: Program, server: Server) -> None:
    before = await server.attempts("timeout")
    slow = {"headers": {"x-request-timeout": "0.05"}, "extra": script(prefill_s=60)}
    reply = await client.ask("chat", **HELLO, **slow, retries=2)
    assert reply["raised"]["status"] == 504
    assert await server.attempts("timeout") == before + 1


@clients()
async def test_leaving_a_stream_frees_the_slot(client: Program, server: Server) -> None:
    async with server.watching() as until_running:
        reply = await client.answer("start", **HELLO, extra=script(**ENDLESS))
        assert reply["text"]
        await until_running(1)
        await client.answer("leave")
        await until_running(0)


@clients()
async def test_giving_up_on_an_answer_frees_the_slot(client: Program, server: Server) -> None:
    async with server.watching() as until_running:
        await until_running(0)
        asking = asyncio.create_task(client.error("chat", **HELLO, timeout_s=2, extra=script(prefill_s=3600)))
        await until_running(1)
        await until_running(0)
        assert "timed out" in (await asking)["text"] or "timeout" in (await asking)["text"]
