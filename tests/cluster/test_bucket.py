"""Image files in a bucket of a real S3 server (Versity's gateway over a folder): several edges serve each other's."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.edge import edge_server
from tests.support.needs import need
from tests.support.service import FAKE_IMAGE, RunningService, image_service

LIMIT_S = 60.0  # only so that a failure ends
BODY = {"prompt": "a cat", "response_format": "url"}


@dataclass(frozen=True, slots=True)
class Bucket:
    """`settings`: of the edge; `folder`: where the server keeps the objects."""

    settings: dict[str, Any]
    folder: Path

    def files(self) -> list[Path]:
        """What lies in it."""
        return [path for path in self.folder.rglob("*") if path.is_file()]


@pytest.fixture
async def bucket(tmp_path: Path) -> AsyncIterator[Bucket]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    for folder in ("s3/pictures", "meta"):
        (tmp_path / folder).mkdir(parents=True)
    secret = tmp_path / "secret"
    secret.write_text("of nobody\n")
    server = await asyncio.create_subprocess_exec(
        *(need("versitygw"), "--port", address, "--quiet", "posix", "--sidecar", tmp_path / "meta", tmp_path / "s3"),
        env={"ROOT_ACCESS_KEY": "me", "ROOT_SECRET_KEY": "of nobody", "PATH": os.environ["PATH"]},
    )
    try:
        async with asyncio.timeout(LIMIT_S), httpx2.AsyncClient() as http:
            while not await _answers(http, f"http://{address}"):
                await asyncio.sleep(0.05)  # a server that starts has nothing to wait on
        settings = {
            "bucket": "pictures",
            "prefix": "images",
            "endpoint": f"http://{address}",
            "region": "us-east-1",
            "access_key_id": "me",
            "secret_access_key_file": str(secret),
        }
        yield Bucket(settings, tmp_path / "s3" / "pictures")
    finally:
        server.kill()
        await server.wait()


@pytest.fixture
async def service() -> AsyncIterator[RunningService]:
    async with image_service(FAKE_IMAGE) as running:
        yield running


async def _answers(http: httpx2.AsyncClient, url: str) -> bool:
    try:
        await http.get(url)
    except httpx2.TransportError:
        return False
    return True


async def _url(http: httpx2.AsyncClient) -> str:
    answer = await http.post("/v1/images/generations", json=BODY)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"][0]["url"])


async def test_an_edge_serves_what_another_has_made(service: RunningService, bucket: Bucket) -> None:
    files = {"s3": bucket.settings}
    async with (
        edge_server([service.address], files=files) as one,
        edge_server([service.address], files=files) as other,
        httpx2.AsyncClient() as http,
    ):
        answer = await http.post(f"{one.url}/v1/images/generations", json=BODY)
        url = str(answer.json()["data"][0]["url"])
        found = await http.get(url.replace(one.url, other.url))
        assert (found.status_code, found.headers["content-type"]) == (200, "image/png")
        assert found.content == (await http.get(url)).content
        assert [file.parent.name for file in bucket.files()] == ["images"]
        assert (await http.get(f"{one.url}/v1/images/files/{'A' * 32}.png")).status_code == 404


async def test_files_go_when_their_time_is_over(service: RunningService, bucket: Bucket) -> None:
    files = {"s3": bucket.settings, "expires_s": 0.000001}
    async with (
        edge_server([service.address], files=files) as edge,
        httpx2.AsyncClient(base_url=edge.url) as http,
    ):
        assert (await http.get(await _url(http))).status_code == 404
        assert not bucket.files()


async def test_files_take_no_more_room_than_they_may(service: RunningService, bucket: Bucket) -> None:
    files = {"s3": bucket.settings, "max_total_bytes": 1024}
    async with edge_server([service.address], files=files) as edge, httpx2.AsyncClient(base_url=edge.url) as http:
        urls = [await _url(http) for _ in range(12)]
        assert sum(file.stat().st_size for file in bucket.files()) <= 1024
        assert (await http.get(urls[-1])).status_code == 200


async def test_a_bucket_that_is_not_ours_is_an_error_of_the_server(service: RunningService, bucket: Bucket) -> None:
    """The caller learns nothing about it; the log does."""
    async with (
        edge_server([service.address], files={"s3": {**bucket.settings, "access_key_id": "you"}}) as edge,
        httpx2.AsyncClient(base_url=edge.url) as http,
    ):
        answer = await http.post("/v1/images/generations", json=BODY)
        assert answer.status_code == 500
        assert "you" not in answer.json()["error"]["message"]
        assert (await http.post("/v1/images/generations", json=BODY | {"response_format": "b64_json"})).is_success
