"""Reflection and health with a stock tool: `buf curl` lists and calls every RPC of every service."""

import asyncio
import base64
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.clients.conftest import CHAT, EAR, EMBED, IMAGE, VOICE, Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

BUF = Path(sys.executable).with_name("buf")
LIMIT_S = 120.0  # only so that a failure ends
TEXT = {"text": "hello"}


def picture() -> str:
    """A picture, as JSON has it."""
    file = io.BytesIO()
    Image.new("RGB", (128, 128), "red").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


SILENCE = base64.b64encode(bytes(32_000)).decode()
EVERYWHERE: Mapping[str, tuple[dict[str, Any], ...]] = {
    "gpt_server.common.v1.ModelService/Watch": (),
    "grpc.health.v1.Health/Check": (),
    "grpc.health.v1.Health/Watch": (),
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": ({"listServices": ""},),
}
LACKING = "grpc.health.v1.Health/List"
"""Listed, and refused as unimplemented: the servicer of grpc-health-checking for asyncio does not have it."""
ENDLESS = {method for method in EVERYWHERE if method.endswith("/Watch")}
CALLS: Mapping[str, Mapping[str, tuple[dict[str, Any], ...]]] = {
    "demo-chat-0": {
        "gpt_server.llm.v1.LLMService/Describe": ({"model": CHAT},),
        "gpt_server.llm.v1.LLMService/Tokenize": ({"model": CHAT, **TEXT},),
        "gpt_server.llm.v1.LLMService/Detokenize": ({"model": CHAT, "tokenIds": [5, 6]},),
        "gpt_server.llm.v1.LLMService/Generate": ({"model": CHAT, **TEXT, "sampling": {"maxTokens": 2}},),
        "gpt_server.llm.v1.LLMService/LoadAdapter": ({"model": CHAT, "name": "pirate"},),
        "gpt_server.llm.v1.LLMService/ListAdapters": ({"model": CHAT},),
        "gpt_server.llm.v1.LLMService/UnloadAdapter": ({"adapter": f"{CHAT}:pirate"},),
    },
    "demo-embed-0": {
        "gpt_server.embed.v1.EmbedService/Describe": ({"model": EMBED},),
        "gpt_server.embed.v1.EmbedService/Tokenize": ({"model": EMBED, **TEXT},),
        "gpt_server.embed.v1.EmbedService/Embed": ({"model": EMBED, "inputs": [TEXT]},),
        "gpt_server.embed.v1.EmbedService/Rerank": ({"model": "demo-rerank", "query": TEXT, "documents": [TEXT]},),
        "gpt_server.embed.v1.EmbedService/Score": (
            {"model": "demo-rerank", "pairs": [{"first": TEXT, "second": TEXT}]},
        ),
        "gpt_server.embed.v1.EmbedService/Classify": ({"model": "demo-moderation", "inputs": [TEXT]},),
    },
    "demo-audio-0": {
        "gpt_server.audio.v1.AudioService/Describe": ({"model": EAR},),
        "gpt_server.audio.v1.AudioService/ListVoices": ({"model": VOICE},),
        "gpt_server.audio.v1.AudioService/Synthesize": ({"model": VOICE, "input": "Hello."},),
        "gpt_server.audio.v1.AudioService/Transcribe": (
            {"config": {"model": EAR, "pcm": {"sampleRateHz": 16_000}}},
            {"audio": SILENCE},
        ),
    },
    "demo-image-0": {
        "gpt_server.image.v1.ImageService/Describe": ({"model": IMAGE},),
        "gpt_server.image.v1.ImageService/Generate": (
            {"model": IMAGE, "prompt": "a red circle", "options": {"numInferenceSteps": 1}},
        ),
        "gpt_server.image.v1.ImageService/Edit": (
            {"model": IMAGE, "prompt": "a red circle", "images": [{"content": picture()}]},
        ),
    },
}


@pytest.mark.parametrize("process", CALLS)
async def test_every_rpc_is_listed_and_called(server: Server, process: str) -> None:
    """A stream's last message is whole; of those without an end the first is read."""
    url = f"http://{server.stack.children()[process]['grpc']}"
    calls = {**CALLS[process], **EVERYWHERE}
    assert set((await output("--list-methods", url)).split()) == {*calls, LACKING}
    for method, messages in calls.items():
        answer = await replies(f"{url}/{method}", *messages, first=method in ENDLESS)
        assert answer, method
        if method.endswith(("/Generate", "/Edit", "/Embed", "/Transcribe", "/Synthesize")):
            assert "finished" in answer[-1], method
        if "Health" in method:
            assert answer == [{"status": "SERVING"}]


async def output(*arguments: str) -> str:
    """What `buf curl` prints when it must succeed."""
    process = await _started(*arguments)
    async with asyncio.timeout(LIMIT_S):
        printed, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return printed.decode()


async def replies(url: str, *messages: dict[str, Any], first: bool) -> list[Any]:
    """The messages that come back, or the first alone."""
    arguments = ("--data", " ".join(map(json.dumps, messages or ({},))), url)
    if not first:
        return documents(await output(*arguments))
    process = await _started(*arguments)
    printed = b""
    try:
        async with asyncio.timeout(LIMIT_S):
            while not (found := documents(printed.decode())):
                assert process.stdout
                more = await process.stdout.read(65_536)
                assert more, "it has ended"
                printed += more
    finally:
        process.kill()
        await process.communicate()
    return found[:1]


def documents(text: str) -> list[Any]:
    """The whole JSON documents that a text begins with."""
    found, at, read = [], 0, json.JSONDecoder()
    while at < len(text):
        try:
            document, end = read.raw_decode(text, at)
        except json.JSONDecodeError:
            break
        found.append(document)
        at = end + 1
    return found


async def _started(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        BUF, "curl", "--protocol", "grpc", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
