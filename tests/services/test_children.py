"""Libraries in processes of their own: whoever leaves, and whatever dies, the next request finds a child."""

import asyncio
from collections.abc import AsyncIterator

import psutil
import pytest
import pytest_asyncio

from gpt_server.services.audio.children import Children
from gpt_server.services.common.errors import EngineUnavailable

pytestmark = pytest.mark.asyncio(loop_scope="session")
ENDLESS = b"a" * 500_000
"""More answers than fit between a child and us."""


@pytest_asyncio.fixture(loop_scope="session")
async def one() -> AsyncIterator[Children]:
    children = Children(("tests.support.echo_child",), 1)
    await children.start()
    yield children
    await children.close()


async def answers_of(children: Children, request: bytes) -> tuple[int, bytes]:
    """The child's process, and what it says."""
    pid, *letters = [answer async for answer in children.answers(request)]
    return int(pid), b"".join(letters)


async def test_the_same_child_answers_again(one: Children) -> None:
    pid, text = await answers_of(one, b"hello")
    assert text == b"hello"
    assert await answers_of(one, b"again") == (pid, b"again")


async def test_who_leaves_early_leaves_a_fresh_child(one: Children) -> None:
    answers = one.answers(ENDLESS)
    pid = int(await anext(answers))
    assert one.busy == 1
    await answers.aclose()
    assert one.busy == 0
    other, text = await answers_of(one, b"next")
    assert (other != pid, text) == (True, b"next")
    await one.close()
    assert not psutil.pid_exists(pid)
    assert not psutil.pid_exists(other)


async def test_who_is_cancelled_twice_takes_no_child_along(one: Children) -> None:
    async def leave() -> None:
        try:
            await answers_of(one, ENDLESS)
        finally:
            asyncio.get_running_loop().call_soon(task.cancel)
            await asyncio.sleep(0)

    task = asyncio.create_task(leave())
    while not one.busy:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await answers_of(one, b"next"))[1] == b"next"


async def test_one_that_dies_is_told_and_replaced(one: Children) -> None:
    with pytest.raises(EngineUnavailable, match="echo_child"):
        await answers_of(one, b"ab!c")
    assert (await answers_of(one, b"next"))[1] == b"next"
