"""API keys: who gets in, and what is open to everyone."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from pydantic import SecretStr, ValidationError

from gpt_server.edge.auth import load_keys
from gpt_server.edge.config import EdgeSettings
from tests.support.edge import edge_server

one_loop = pytest.mark.asyncio(loop_scope="module")

KEYS = SecretStr("alice:sk-alice, sk-plain")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded() -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an edge with two keys."""
    async with edge_server(api_keys=KEYS) as edge, httpx2.AsyncClient(base_url=edge.url) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"authorization": f"Bearer {key}"}


@one_loop
@pytest.mark.parametrize(
    "header",
    [
        {},
        bearer("wrong"),
        {"authorization": "Bearer"},
        {"authorization": "sk-alice"},
        {"authorization": "Basic sk-alice"},
    ],
)
@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/chat/completions", "/tokenize", "/detokenize", "/version", "/nothing"]
)
async def test_without_a_key(guarded: httpx2.AsyncClient, header: dict[str, str], path: str) -> None:
    response = await guarded.post(path, headers=header, content=b"{")
    assert response.status_code == 401
    error = response.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "invalid_api_key", None)
    assert response.headers["www-authenticate"] == "Bearer"


@one_loop
@pytest.mark.parametrize("header", [bearer("sk-alice"), bearer("sk-plain"), {"authorization": "bearer sk-alice"}])
async def test_with_a_key(guarded: httpx2.AsyncClient, header: dict[str, str]) -> None:
    assert (await guarded.get("/v1/models", headers=header)).status_code == 200


@one_loop
@pytest.mark.parametrize("path", ["/health", "/readyz", "/docs", "/openapi.json"])
async def test_open_to_everyone(guarded: httpx2.AsyncClient, path: str) -> None:
    assert (await guarded.get(path)).status_code == 200


@one_loop
async def test_the_docs_need_no_key_and_no_other_host(guarded: httpx2.AsyncClient) -> None:
    page = (await guarded.get("/docs")).text
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(assets) == 3
    for asset in assets:
        assert asset.startswith("/docs/assets/")
        assert (await guarded.get(asset)).status_code == 200


def test_keys_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# ours\nalice:sk-1\n\n  sk-2\nbob: sk:3\n")
    keys = load_keys(EdgeSettings(api_keys_file=file, api_keys=SecretStr("ci:sk-4")))
    assert list(keys) == ["ci", "alice", "key-3", "bob"]
    assert len(set(keys.values())) == 4
    assert all(len(digest) == 32 for digest in keys.values())


@pytest.mark.parametrize("content", ["", "# nothing\n", "alice:\n", ":sk-1\n", "a:sk-1\na:sk-2\n"])
def test_a_file_without_proper_keys(tmp_path: Path, content: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(ValueError, match="api_keys"):
        load_keys(EdgeSettings(api_keys_file=file))
    with pytest.raises(ValueError, match="cannot read"):
        load_keys(EdgeSettings(api_keys_file=tmp_path / "none"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_an_open_door_needs_a_key_or_a_word(host: str) -> None:
    with pytest.raises(ValidationError, match="no API keys are set"):
        EdgeSettings(host=host)
    assert EdgeSettings(host=host, allow_unauthenticated=True).host == host
    assert EdgeSettings(host=host, api_keys=SecretStr("k")).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert EdgeSettings(host=host).host == host
