"""Files of forms lie on the disk while their request lasts, and no longer, however it ends."""

import asyncio
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.edge import edge_server
from tests.support.service import audio_service
from tests.support.sounds import file_of, silence

LIMIT_S = 10.0  # only so that a failure ends
LARGE = {"file": ("a.wav", file_of(silence(70)))}
"""2 MB: more than is kept in memory."""
PATH = "/v1/audio/transcriptions"
FORM = {"model": "fake-ear"}


def _open_uploads(folder: Path) -> int:
    """How many files of this process lie in a folder, named or not."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # closed meanwhile
            links.append(os.readlink(f"/proc/self/fd/{number}"))
    return sum(link.startswith(str(folder)) for link in links)


async def _uploads(folder: Path, count: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while _open_uploads(folder) != count:
            await asyncio.sleep(0.01)  # a file that is closed tells nobody


async def _leave_in_the_upload(http: httpx2.AsyncClient, folder: Path) -> None:
    request = http.build_request("POST", PATH, data=FORM, files=LARGE)
    body = await request.aread()
    _, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    writer.write(f"POST {PATH} HTTP/1.1\r\n{head}\r\n".encode() + body[: len(body) * 3 // 4])
    await _uploads(folder, 1)
    writer.transport.abort()


async def _leave_while_it_is_heard(http: httpx2.AsyncClient, engine: Any, folder: Path) -> None:
    engine.gates["transcribe"].shut()
    asking = asyncio.create_task(http.post(PATH, data=FORM, files=LARGE))
    await asyncio.wait_for(engine.gates["transcribe"].reached.wait(), LIMIT_S)
    assert _open_uploads(folder)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    engine.gates["transcribe"].open()


@pytest.mark.parametrize("end", ["answered", "refused", "left in the upload", "left while it is heard"])
async def test_an_upload_is_gone_however_it_ends(end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with (
        audio_service() as service,
        edge_server([service.address]) as edge,
        httpx2.AsyncClient(base_url=edge.url, timeout=30) as http,
    ):
        if end == "left in the upload":
            await _leave_in_the_upload(http, tmp_path)
        elif end == "left while it is heard":
            await _leave_while_it_is_heard(http, service.engines["fake-ear"], tmp_path)
        else:
            model, status = ("fake-ear", 200) if end == "answered" else ("unknown", 404)
            answer = await http.post(PATH, data={"model": model}, files=LARGE)
            assert answer.status_code == status
        await _uploads(tmp_path, 0)
        assert not list(tmp_path.iterdir())
