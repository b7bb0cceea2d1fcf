"""What every request has: an id, a deadline, CORS headers, an answer to whatever goes wrong."""

from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from tests.edge.asking import chat
from tests.edge.stub import Stub
from tests.support.edge import RunningEdge, edge_server

KEYS: dict[str, Any] = {"api_keys": SecretStr("alice:sk-alice, sk-plain")}


async def test_the_callers_request_id_is_kept(stub: Stub, stub_edge: RunningEdge) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with httpx2.AsyncClient(base_url=stub_edge.url) as client:
        headers = {"x-request-id": "mine-1", "traceparent": trace}
        response = await client.post("/v1/chat/completions", json=chat(model="m"), headers=headers)
        assert response.headers["x-request-id"] == "mine-1"
        assert (stub.metadata[0]["x-request-id"], stub.metadata[0]["traceparent"]) == ("mine-1", trace)
        for bad in ("x" * 129, "a b", "a\tb", "ü"):
            response = await client.get("/nothing", headers={b"x-request-id": bad.encode()})
            assert response.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("header", "least_s", "most_s"), [("5", 3, 5), ("0.9", 0, 0.9), ("99999", 500, 600), (None, 500, 600)]
)
async def test_deadlines(stub: Stub, stub_edge: RunningEdge, header: str | None, least_s: float, most_s: float) -> None:
    async with httpx2.AsyncClient(base_url=stub_edge.url) as client:
        headers = {} if header is None else {"x-request-timeout": header}
        await client.post("/v1/chat/completions", json=chat(model="m"), headers=headers)
    assert least_s <= stub.deadlines_s[0] <= 1.01 * most_s  # gRPC rounds up


@pytest.mark.parametrize("header", ["soon", "0", "-1", "nan", "inf", ""])
async def test_a_deadline_that_is_none(stub_edge: RunningEdge, header: str) -> None:
    async with httpx2.AsyncClient(base_url=stub_edge.url) as client:
        response = await client.post(
            "/v1/chat/completions", json=chat(model="m"), headers={"x-request-timeout": header}
        )
    assert response.status_code == 400
    assert "x-request-timeout" in response.json()["error"]["message"]


async def test_a_deadline_that_passes(edge: RunningEdge, http: httpx2.AsyncClient) -> None:
    response = await http.post(
        "/v1/chat/completions", json=chat(fake={"prefill_s": 60}), headers={"x-request-timeout": "0.05"}
    )
    assert (response.status_code, response.json()["error"]["code"]) == (504, "timeout")
    assert response.headers["x-should-retry"] == "false"
    assert "retry-after" not in response.headers


async def test_cors(stub: Stub) -> None:
    async with (
        edge_server([stub.address], cors_origins=("https://app.example",), **KEYS) as edge,
        httpx2.AsyncClient(base_url=edge.url) as client,
    ):
        origin = {"origin": "https://app.example"}
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        preflight = await client.options("/v1/chat/completions", headers=origin | asked)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "https://app.example"
        refused = await client.get("/v1/models", headers=origin)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://app.example"
        assert "x-request-id" in refused.headers["access-control-expose-headers"]
        other = await client.get("/v1/models", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_no_cors_unless_it_is_set(http: httpx2.AsyncClient) -> None:
    response = await http.get("/v1/models", headers={"origin": "https://app.example"})
    assert "access-control-allow-origin" not in response.headers


async def test_overload_is_a_429(http: httpx2.AsyncClient, service: Any) -> None:
    admission = service.admissions["fake-chat"]
    tickets = [admission.enter() for _ in range(4)]
    response = await http.post("/v1/chat/completions", json=chat())
    for ticket in tickets:
        admission.leave(ticket)
    assert (response.status_code, response.json()["error"]["type"]) == (429, "rate_limit_error")
    assert 1 <= int(response.headers["retry-after"]) <= 60


async def test_a_fault_of_ours_is_withheld(
    edge: RunningEdge, http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(edge.edge.replicas, "ready_models", fail)
    response = await http.get("/v1/models", headers={"x-request-id": "mine-7"})
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "server_error"
    assert "secret" not in response.text
    assert response.headers["x-request-id"] == "mine-7"
    assert "mine-7" in caplog.text
