"""The admin port: liveness, readiness, metrics, from a thread of its own."""

import asyncio
import json
import urllib.error
import urllib.request
from http import HTTPStatus

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gpt_server.services.common import admin as admin_module
from gpt_server.services.common.telemetry import TABLE
from tests.support.service import RunningService, llm_service


def get_now(address: str, path: str) -> tuple[int, str]:
    """Status and body, from the thread that asks."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def get(service: RunningService, path: str) -> tuple[int, str]:
    """Status and body, while the event loop goes on."""
    return await asyncio.to_thread(get_now, service.admin_address, path)


async def test_readiness_follows_the_models() -> None:
    async with llm_service(load=False) as service:
        status, body = await get(service, "/readyz")
        assert (status, json.loads(body)) == (503, {"ready": False, "models": {"fake-chat": "loading"}})
        await service.service.load()
        status, body = await get(service, "/readyz?verbose")
        assert (status, json.loads(body)) == (200, {"ready": True, "models": {"fake-chat": "ready"}})
        await service.service.drain(asyncio.Event())
        status, body = await get(service, "/readyz")
        assert (status, json.loads(body)) == (503, {"ready": False, "models": {"fake-chat": "draining"}})
        assert (await get(service, "/livez"))[0] == HTTPStatus.OK


async def test_a_stuck_loop_is_told_and_does_not_take_the_probe_down(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop stands still during `get_now`, which waits for the answer in this thread."""
    assert get_now(service.admin_address, "/livez") == (200, "ok\n")
    monkeypatch.setattr(admin_module, "STUCK_S", 0.0)
    assert get_now(service.admin_address, "/livez") == (503, "event loop stuck for 0 s\n")


async def test_metrics_are_those_of_the_table(service: RunningService) -> None:
    status, body = await get(service, "/metrics")
    assert status == HTTPStatus.OK
    exposed = {family.name: family for family in text_string_to_metric_families(body)}
    for row in TABLE:
        family = exposed[row.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (row.kind, row.meaning)
    ours = {name for name in exposed if name.startswith("gpt_server_") and not name.endswith("_created")}
    assert ours == {row.name.removesuffix("_total") for row in TABLE}


def test_the_table_keeps_to_the_house_rules() -> None:
    allowed = {"model", "service", "engine", "replica", "reason", "key_name"}
    for row in TABLE:
        assert row.name.startswith("gpt_server_")
        assert set(row.labels) <= allowed
        assert row.meaning.endswith(".")
        assert (row.kind == "counter") == row.name.endswith("_total")
        assert (row.kind == "histogram") == row.name.endswith("_seconds") == bool(row.buckets)


async def test_anything_else_is_not_found(service: RunningService) -> None:
    assert await get(service, "/") == (404, "not found\n")
