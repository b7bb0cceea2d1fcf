"""The examples of clients/ in each language, straight at the services: no edge between."""

import asyncio
import os
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from tests.clients.conftest import CHAT, EAR, EMBED, IMAGE, VOICE, Server
from tests.clients.languages import LANGUAGES, Command
from tests.support.certificates import Authority
from tests.support.service import RunningService, llm_service
from tests.support.words import wrong_words

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIMIT_S = 120.0  # only so that a failure ends
TOKEN = "a-token"
SPOKEN = "The weather is very nice today."
TEXTS = ("The cat sat on the mat.", "A cat is sitting on a rug.", "Interest rates rose.")
ENDED = ("CANCELLED", "DEADLINE_EXCEEDED")


class Done(NamedTuple):
    """How a program has ended."""

    code: int
    output: str
    errors: str


@dataclass(frozen=True, slots=True)
class Examples:
    """The examples of one language."""

    command: Command

    async def run(self, name: str, *arguments: str, **settings: str) -> Done:
        """Runs one to its end."""
        process = await asyncio.create_subprocess_exec(
            *self.command(name),
            *arguments,
            env={**os.environ, "LC_ALL": "C.UTF-8", **settings},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(LIMIT_S):
            output, errors = await process.communicate()
        return Done(process.returncode or 0, output.decode(), errors.decode())

    async def lines(self, name: str, *arguments: str, **settings: str) -> list[str]:
        """Runs one that must succeed and returns what it printed."""
        done = await self.run(name, *arguments, **settings)
        assert done.code == 0, done
        return done.output.splitlines()


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=LANGUAGES)
async def examples(request: pytest.FixtureRequest) -> Examples:
    """The built examples of the language that the test is parametrised with."""
    return Examples(await asyncio.to_thread(LANGUAGES[request.param]))


class Guarded(NamedTuple):
    """A service with TLS that wants a token."""

    address: str
    authority: Path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    """One for all languages, with a fake engine."""
    folder = tmp_path_factory.mktemp("guarded")
    authority = Authority(folder / "tls")
    certificate, key = authority.sign("service")
    tokens = folder / "tokens"
    tokens.write_text(f"tests:{TOKEN}\n")
    grpc = {"tls": {"cert_file": certificate, "key_file": key}, "tokens_file": tokens}
    service: RunningService
    async with llm_service(grpc=grpc) as service:
        port = service.address.rpartition(":")[2]
        yield Guarded(f"localhost:{port}", authority.certificate)


def at(server: Server, process: str) -> str:
    """Address of a service of the stack."""
    return str(server.stack.children()[process]["grpc"])


async def test_chat(examples: Examples, server: Server) -> None:
    answer, end = await examples.lines("chat", at(server, "demo-chat-0"), CHAT, "What is 27 + 15?")
    assert "42" in answer
    reason, tokens, unit = end.split()
    assert reason.endswith("STOP,")
    assert (int(tokens) > 3, unit) == (True, "tokens")


@pytest.mark.parametrize(
    ("model", "temperature", "reason", "field"),
    [("nobody", "0", "MODEL_NOT_FOUND", ""), (CHAT, "9", "INVALID_FIELD", "sampling.temperature")],
    ids=["model", "field"],
)
async def test_error_has_a_reason(
    examples: Examples, server: Server, model: str, temperature: str, reason: str, field: str
) -> None:
    done = await examples.run("chat", at(server, "demo-chat-0"), model, "hi", temperature)
    assert done.code == 1
    assert f"ERROR_REASON_{reason}" in done.errors
    assert field in done.errors


async def test_stopping_ends_the_work(examples: Examples, server: Server) -> None:
    """The service says that nothing runs any more, and counts one call as cancelled and one as late."""
    before = await ended(server)
    first, running, late = await examples.lines("stop", at(server, "demo-chat-0"), CHAT)
    assert first.removeprefix("first piece:").strip()
    assert running == "running: 0"
    assert late.upper().replace("_", "") == "DEADLINEEXCEEDED"
    async with asyncio.timeout(LIMIT_S):
        while await ended(server) < before + 2:
            pass
    assert await ended(server) == before + 2


async def ended(server: Server) -> float:
    """How many calls to the chat model were cancelled or late."""
    series = [f'gpt_server_errors_total{{model="{CHAT}",reason="{reason}"' for reason in ENDED]
    return sum([await server.stack.metric("demo-chat-0", one) for one in series])


async def test_vectors(examples: Examples, server: Server) -> None:
    head, *lines = await examples.lines("embed", at(server, "demo-embed-0"), EMBED, *TEXTS)
    assert head == "3 vectors of 384 numbers"
    scores = {text: float(score) for score, _, text in (line.partition(" ") for line in lines)}
    assert list(scores) == list(TEXTS[1:])
    alike, other = scores.values()
    assert 0.5 < alike < 0.9999
    assert -0.2 < other < 0.3


async def test_speech(examples: Examples, server: Server, tmp_path: Path) -> None:
    """The file's header has its true lengths, and what is said is understood."""
    file, address = tmp_path / "speech.wav", at(server, "demo-audio-0")
    (said,) = await examples.lines("speak", address, VOICE, SPOKEN, str(file))
    with wave.open(str(file)) as sound:
        assert len(sound.readframes(sound.getnframes())) == file.stat().st_size - 44
        assert said == f"{sound.getnframes() / sound.getframerate():.2f} s at {sound.getframerate()} Hz"
    (heard,) = await examples.lines("transcribe", address, EAR, str(file))
    assert wrong_words(SPOKEN, heard) <= 2


async def test_image(examples: Examples, server: Server, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    prompt = "a red circle on a blue background"
    *steps, last = await examples.lines("draw", at(server, "demo-image-0"), IMAGE, prompt, str(file))
    assert steps == [f"step {step} of 12" for step in range(1, 13)]
    assert last == "128 × 128, seed 1"
    with Image.open(file) as picture:
        red, green, blue = np.asarray(picture.convert("RGB"), int)[:8].mean(axis=(0, 1))
    assert blue > max(red, green) + 60


async def test_tls_and_token(examples: Examples, guarded: Guarded) -> None:
    trusted = {"GPT_SERVER_CA": str(guarded.authority)}
    chat = ("chat", guarded.address, "fake-chat", "hello")
    lines = await examples.lines(*chat, **trusted, GPT_SERVER_TOKEN=TOKEN)
    assert lines[0] == "You said: hello"
    refused = await examples.run(*chat, **trusted)
    assert refused.code == 1
    assert "UNAUTHENTICATED" in refused.errors.upper()
    assert "ERROR_REASON_UNSPECIFIED" in refused.errors
