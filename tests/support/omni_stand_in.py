"""Stands in for vLLM-Omni's server, which needs a GPU: the same routes, its own request schema, a tone for each word.

python tests/support/omni_stand_in.py PORT SCHEMA
"""

import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
from aiohttp import web

RATE_HZ = 24_000
KEY = f"Bearer {os.environ['VLLM_API_KEY']}"


def refusal(message: str, status: int) -> web.Response:
    """Returns an error as the server writes it."""
    return web.json_response({"error": {"message": message, "type": "BadRequestError", "code": status}}, status=status)


async def health(request: web.Request) -> web.Response:
    """It is ready."""
    return web.Response()


async def voices(request: web.Request) -> web.Response:
    """Two voices."""
    if request.headers.get("Authorization") != KEY:
        return refusal("Unauthorized", 401)
    return web.json_response({"voices": ["ryan", "vivian"], "uploaded_voices": []})


async def speech(request: web.Request) -> web.StreamResponse:
    """Streams a tenth of a second for each word; `die` ends the server, `refuse me` is refused."""
    body = await request.json()
    try:
        jsonschema.validate(body, request.app[SCHEMA])
    except jsonschema.ValidationError as error:
        return refusal(error.message, 422)
    if body["input"] == "refuse me":
        return refusal("Invalid voice", 400)
    if body["input"] == "die":
        os._exit(1)
    response = web.StreamResponse(headers={"Content-Type": "audio/wav"})
    await response.prepare(request)
    unknown = 0xFFFFFFFF
    form = (b"RIFF", unknown, b"WAVE", b"fmt ", 16, 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16, b"data", unknown)
    await response.write(struct.pack("<4sI4s4sIHHIIHH4sI", *form))
    for word in body["input"].split():
        height_hz = 200 + 20 * len(word) + 100 * (body.get("voice") == "ryan") + 50 * ("ref_audio" in body)
        tone = np.sin(2 * np.pi * height_hz * np.arange(RATE_HZ // 10) / RATE_HZ) / 2
        sound = (tone * 32767).astype("<i2").tobytes()
        await response.write(sound[:1001])
        await response.write(sound[1001:])
    await response.write_eof()
    return response


SCHEMA: web.AppKey[Any] = web.AppKey("schema", dict)


def main() -> None:
    """Serves until it is ended."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app[SCHEMA] = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    app.add_routes([web.get("/health", health), web.get("/v1/audio/voices", voices)])
    app.add_routes([web.post("/v1/audio/speech", speech)])
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)


if __name__ == "__main__":
    main()
