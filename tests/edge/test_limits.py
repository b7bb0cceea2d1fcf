"""What a key may do: per minute, at the same time, and with which models."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from gpt_server.edge.app import create_app
from gpt_server.edge.config import EdgeSettings, KeyLimits
from gpt_server.edge.limits import Account, Bucket, Limits
from gpt_server.edge.telemetry import Exchange
from tests.edge.asking import chat
from tests.support.edge import edge_server
from tests.support.raw import raw_post
from tests.support.service import RunningService, llm_service

KEYS = SecretStr("alice:sk-alice,bob:sk-bob,carol:sk-carol")
LIMIT_S = 20.0  # only so that a failure ends


def bearer(key: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"authorization": f"Bearer {key}"}


def exchange(tokens: int = 0) -> Exchange:
    """A request that took so many tokens."""
    return Exchange("id", "POST", "/", prompt_tokens=tokens)


def test_a_bucket_fills_up_and_no_further() -> None:
    bucket = Bucket(60, 0.0)
    for _ in range(60):
        bucket.take(1, 0.0)
    assert bucket.wait_s(1, 0.0) == pytest.approx(1.0)
    assert bucket.left(30.0) == pytest.approx(30)
    assert bucket.left(1000.0) == 60


def test_requests_per_minute() -> None:
    now = [0.0]
    account = Account("alice", KeyLimits(requests_per_minute=2), lambda: now[0])
    for _ in range(2):
        with account.request(exchange()):
            pass
    with pytest.raises(Exception, match="limit of 2 requests per minute") as caught, account.request(exchange()):
        pass
    assert (caught.value.reason, caught.value.retry_after_s) == ("RATE_LIMIT_EXCEEDED", pytest.approx(30))  # type: ignore[attr-defined]
    now[0] = 30.0
    with account.request(exchange()):
        pass


def test_tokens_are_paid_for_afterwards() -> None:
    now = [0.0]
    account = Account("alice", KeyLimits(tokens_per_minute=60), lambda: now[0])
    with account.request(exchange(90)):
        assert dict(account.headers())[b"x-ratelimit-remaining-tokens"] == b"60"
    assert dict(account.headers()) == {
        b"x-ratelimit-limit-tokens": b"60",
        b"x-ratelimit-remaining-tokens": b"0",
        b"x-ratelimit-reset-tokens": b"90.000s",
    }
    with pytest.raises(Exception, match=r"60 tokens per minute\. Try again in 31 s"), account.request(exchange()):
        pass
    now[0] = 31.0
    with account.request(exchange()):
        pass


def test_the_others_have_limits_each_for_itself() -> None:
    limits = Limits({"*": KeyLimits(max_concurrent=1), "alice": KeyLimits()})
    one, other, free = (limits.account(name) for name in ("bob", "carol", "alice"))
    assert one
    assert other
    assert free
    with one.request(exchange()), other.request(exchange()), free.request(exchange()), free.request(exchange()):
        pass
    assert limits.account("bob") is one
    assert Limits({}).account("bob") is None


async def test_one_at_a_time(service: RunningService) -> None:
    service.engines["fake-chat"].gates["prefill"].shut()
    settings: dict[str, Any] = {"api_keys": KEYS, "key_limits": {"alice": {"max_concurrent": 1}}}
    async with edge_server([service.address], **settings) as edge, httpx2.AsyncClient(base_url=edge.url) as client:
        path, alice = "/v1/chat/completions", bearer("sk-alice")
        async with raw_post(edge.url, path, chat(stream=True), headers=alice) as answer:
            refused = await client.post(path, json=chat(), headers=alice)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            error = refused.json()["error"]
            assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
            assert (await client.get("/v1/models", headers=alice)).status_code == 200
            service.engines["fake-chat"].gates["prefill"].open()
            assert (await client.post(path, json=chat(), headers=bearer("sk-bob"))).status_code == 200
            await answer.read_all()
        assert (await client.post(path, json=chat(), headers=alice)).status_code == 200


async def test_what_is_left_is_said(service: RunningService) -> None:
    limits = {"*": {"requests_per_minute": 3, "tokens_per_minute": 1000}}
    async with (
        edge_server([service.address], api_keys=KEYS, key_limits=limits) as edge,
        httpx2.AsyncClient(base_url=edge.url, headers=bearer("sk-alice")) as client,
    ):
        first = await client.post("/v1/chat/completions", json=chat("a b c"))
        assert first.headers["x-ratelimit-limit-requests"] == "3"
        assert first.headers["x-ratelimit-remaining-requests"] == "2"
        spent = sum(first.json()["usage"][name] for name in ("prompt_tokens", "completion_tokens"))
        second = await client.post("/v1/chat/completions", json=chat("a b c"))
        assert 1000 - spent <= int(second.headers["x-ratelimit-remaining-tokens"]) < 1000
        assert second.headers["x-ratelimit-reset-requests"].endswith("s")


async def test_a_key_has_its_models(service: RunningService) -> None:
    async with (
        edge_server([service.address], api_keys=KEYS, key_limits={"alice": {"models": ["org/alias"]}}) as edge,
        httpx2.AsyncClient(base_url=edge.url, headers=bearer("sk-alice")) as client,
    ):
        refused = await client.post("/v1/chat/completions", json=chat())
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
        assert (await client.post("/v1/chat/completions", json=chat(model="org/alias"))).status_code == 200
        assert [model["id"] for model in (await client.get("/v1/models")).json()["data"]] == ["org/alias"]
        assert (await client.get("/v1/models/fake-chat")).status_code == 403
        assert len((await client.get("/v1/models", headers=bearer("sk-bob"))).json()["data"]) == 2


def test_limits_of_a_key_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="key_limits: no API key is called dave"):
        create_app(EdgeSettings(api_keys=KEYS, key_limits={"dave": KeyLimits()}))


async def test_keys_are_read_again_when_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("alice:sk-old")
    async with (
        asyncio.timeout(LIMIT_S),
        llm_service() as service,
        edge_server([service.address], api_keys_file=file) as edge,
        httpx2.AsyncClient(base_url=edge.url) as client,
    ):
        assert (await client.get("/v1/models", headers=bearer("sk-old"))).status_code == 200
        file.write_text("alice:sk-renewed")
        assert (await client.get("/v1/models", headers=bearer("sk-old"))).status_code == 401
        assert (await client.get("/v1/models", headers=bearer("sk-renewed"))).status_code == 200
