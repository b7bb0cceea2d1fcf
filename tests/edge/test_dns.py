"""Replicas behind a DNS name: the system's own resolver asks a real DNS server, both in namespaces of their own."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gpt_server.edge.config import EdgeSettings
from gpt_server.edge.discovery import discovery_for
from tests.support.needs import need, unavailable

LIMIT_S = 60.0  # only so that a failure ends
PROGRAM = Path(__file__).parents[1] / "support" / "resolving.py"
SERVFAIL, NXDOMAIN = 2, 3


class Resolving:
    """The program of tests/support/resolving.py."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def answer(self, answer: Any) -> None:
        """Has the server answer so from now on."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(answer).encode() + b"\n")

    async def addresses(self) -> Any:
        """Returns the next snapshot."""
        assert self._process.stdout
        line = await asyncio.wait_for(self._process.stdout.readline(), LIMIT_S)
        return json.loads(line)

    async def said(self, text: str) -> None:
        """Waits for a line of the log."""
        assert self._process.stderr
        async with asyncio.timeout(LIMIT_S):
            while text not in (line := (await self._process.stderr.readline()).decode()):
                assert line, f"{text!r} was not logged"


@asynccontextmanager
async def resolving(folder: Path) -> AsyncIterator[Resolving]:
    """Runs the program until the block ends."""
    resolver = folder / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:5 attempts:1\n")
    inside = (need("unshare"), "--mount", "--net")
    need("ip")
    probe = await asyncio.create_subprocess_exec(*inside, "true", stderr=asyncio.subprocess.PIPE)
    if problem := (await probe.communicate())[1].decode().strip():
        unavailable(f"namespaces cannot be made here: {problem}")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *inside, sys.executable, str(PROGRAM), str(resolver), stdin=pipe, stdout=pipe, stderr=pipe
    )
    try:
        yield Resolving(process)
    finally:
        process.kill()
        await process.communicate()


async def test_replicas_come_and_go_with_the_addresses_of_a_name(tmp_path: Path) -> None:
    async with resolving(tmp_path) as name:
        await name.said("DNS does not tell of replicas.example., the replicas stay as they are")  # nothing is known yet
        name.answer({"A": ["10.0.0.2", "10.0.0.1"]})
        assert await name.addresses() == ["10.0.0.1:50051", "10.0.0.2:50051"]
        await name.said("DNS tells of replicas.example. again")
        name.answer({"A": ["10.0.0.2"], "AAAA": ["fd00::1"]})
        assert await name.addresses() == ["10.0.0.2:50051", "[fd00::1]:50051"]
        name.answer(NXDOMAIN)
        assert await name.addresses() == []
        name.answer({"A": ["10.0.0.3"]})
        assert await name.addresses() == ["10.0.0.3:50051"]


async def test_a_dns_server_that_fails_changes_nothing(tmp_path: Path) -> None:
    async with resolving(tmp_path) as name:
        name.answer({"A": ["10.0.0.1"]})
        assert await name.addresses() == ["10.0.0.1:50051"]
        name.answer(SERVFAIL)
        await name.said("DNS does not tell of replicas.example.")
        name.answer({"A": ["10.0.0.1", "10.0.0.2"]})
        assert await name.addresses() == ["10.0.0.1:50051", "10.0.0.2:50051"], "nothing was said meanwhile"
        name.answer({"A": []})  # the name exists, and nobody has it
        assert await name.addresses() == []


@pytest.mark.parametrize("name", ["replicas", ":50051", "replicas:", "a b:1", "http://replicas:50051"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(ValidationError, match=r"discovery\.dns\.0"):
        EdgeSettings(discovery={"dns": [name]})  # type: ignore[arg-type]


async def test_a_name_joins_the_addresses_of_the_settings() -> None:
    settings = EdgeSettings(discovery={"addresses": ["10.0.0.1:1"], "dns": ["localhost:50051"]})  # type: ignore[arg-type]
    watch = aiter(discovery_for(settings).watch())
    found = (await asyncio.wait_for(anext(watch), LIMIT_S)).addresses
    assert {"10.0.0.1:1"} < found <= {"10.0.0.1:1", "127.0.0.1:50051", "[::1]:50051"}
    await watch.aclose()  # type: ignore[attr-defined]
