"""Which replica answers, and when one is in rotation."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest

from gpt_server.common.v1 import model_pb2, model_service_pb2
from gpt_server.common.v1.model_service_pb2 import WatchResponse
from gpt_server.edge.channels import Channels
from gpt_server.edge.config import ChannelSettings, DiscoverySettings, RoutingSettings
from gpt_server.edge.discovery.base import Snapshot
from gpt_server.edge.discovery.static import StaticDiscovery
from gpt_server.edge.errors import ApiError
from gpt_server.edge.replica import DOUBT_S, Replica
from gpt_server.edge.replicas import STATES, ReplicaSet
from gpt_server.edge.routing import Router
from tests.edge.stub import status_of, stub_service
from tests.support.edge import edge_server

LLM = model_pb2.MODEL_KIND_LLM
LIMIT_S = 20.0  # only so that a failure ends


@pytest.fixture
async def replicas() -> ReplicaSet:
    """A set that nothing feeds: tests put replicas in."""
    return ReplicaSet(Channels(ChannelSettings()), Router(RoutingSettings()))


def put(replicas: ReplicaSet, address: str, *statuses: Any) -> Replica:
    """Puts a replica in that reports `statuses`."""
    replica = Replica(address, grpc.aio.insecure_channel(address))
    replica.apply(WatchResponse(replica=address, models=statuses))
    replicas._replicas[address] = replica
    return replica


def refusal(replicas: ReplicaSet, model: str) -> ApiError:
    """Returns why nobody answers."""
    with pytest.raises(ApiError) as caught:
        replicas.pick(model, LLM)
    return caught.value


async def test_the_less_loaded_of_two_answers(replicas: ReplicaSet) -> None:
    busy, idle = put(replicas, "busy", status_of("m")), put(replicas, "idle", status_of("m"))
    busy.acquire()
    assert {replicas.pick("m", LLM) for _ in range(50)} == {idle}


async def test_load_is_weighed_by_slots(replicas: ReplicaSet) -> None:
    small, large = status_of("m"), status_of("m")
    small.model.limits.max_running, large.model.limits.max_running = 2, 100
    one, other = put(replicas, "small", small), put(replicas, "large", large)
    one.acquire()
    for _ in range(10):
        other.acquire()
    assert {replicas.pick("m", LLM) for _ in range(50)} == {other}


async def test_load_of_other_edges_counts(replicas: ReplicaSet) -> None:
    status = status_of("m")
    status.queued = 3
    put(replicas, "busy", status)
    idle = put(replicas, "idle", status_of("m"))
    assert {replicas.pick("m", LLM) for _ in range(50)} == {idle}


async def test_what_was_begun_and_ended_since_the_report_counts(replicas: ReplicaSet) -> None:
    status = status_of("m")
    one = put(replicas, "one", status)
    for _ in range(4):
        one.acquire()
    assert one.candidate("m").requests == 4
    status.running = 6  # four of ours, two of another edge
    one.apply(WatchResponse(replica="one", models=[status]))
    for expected in (5, 4, 3, 2):
        one.release()
        assert one.candidate("m").requests == expected
    one.acquire()
    assert one.candidate("m").requests == 3


async def test_a_replica_that_is_silent_is_asked_only_if_there_is_no_other(replicas: ReplicaSet) -> None:
    silent, other = put(replicas, "silent", status_of("m")), put(replicas, "other", status_of("m"))
    other.acquire()
    silent._reported_s -= DOUBT_S
    assert {replicas.pick("m", LLM) for _ in range(50)} == {other}
    other._reported_s -= DOUBT_S
    assert {replicas.pick("m", LLM) for _ in range(50)} == {silent}


async def test_equals_share(replicas: ReplicaSet) -> None:
    for number in range(4):
        put(replicas, str(number), status_of("m"))
    counts = Counter(replicas.pick("m", LLM).address for _ in range(400))
    assert len(counts) == 4
    assert min(counts.values()) > 40


async def test_names_aliases_and_adapters(replicas: ReplicaSet) -> None:
    put(replicas, "a", status_of("m", aliases=["org/m"]), status_of("m:fr", parent="m"))
    assert list(replicas.ready_models()) == ["m", "m:fr", "org/m"]
    assert replicas.pick("org/m", LLM) is replicas.pick("m:fr", LLM)


async def test_an_unknown_model_is_told_what_there_is(replicas: ReplicaSet) -> None:
    replicas.synced.set()
    put(replicas, "a", *(status_of(f"m{number:02}") for number in range(12)))
    error = refusal(replicas, "nope")
    assert (error.reason, error.param) == ("MODEL_NOT_FOUND", "model")
    assert str(error).startswith("The model `nope` does not exist")
    assert "`m09`" in str(error)
    assert "`m10`" not in str(error)
    assert str(error).endswith("and 2 more.")


@pytest.mark.parametrize("state", ["LOADING", "DRAINING", "FAILED"])
async def test_a_model_that_is_not_ready(replicas: ReplicaSet, state: str) -> None:
    replicas.synced.set()
    put(replicas, "a", status_of("m", model_service_pb2.ModelState.Value(f"MODEL_STATE_{state}")))
    error = refusal(replicas, "m")
    assert error.reason == "MODEL_LOADING"
    assert error.retry_after_s
    assert replicas.ready_models() == {}
    assert replicas.states() == {"m": state.lower()}


async def test_an_expected_model_that_nobody_serves(replicas: ReplicaSet) -> None:
    replicas.synced.set()
    replicas.expected_models = frozenset({"m"})
    assert refusal(replicas, "m").reason == "MODEL_LOADING"
    assert refusal(replicas, "n").reason == "MODEL_NOT_FOUND"
    assert replicas.states() == {"m": "loading"}


async def test_nothing_is_unknown_before_discovery_has_spoken(replicas: ReplicaSet) -> None:
    assert refusal(replicas, "m").reason == "MODEL_LOADING"


async def test_a_model_of_another_kind(replicas: ReplicaSet) -> None:
    put(replicas, "a", status_of("m", kind=99))
    error = refusal(replicas, "m")
    assert (error.reason, str(error)) == ("WRONG_MODEL_KIND", "The model `m` does something else, not text generation.")


async def test_the_best_state_of_several_replicas_counts(replicas: ReplicaSet) -> None:
    put(replicas, "a", status_of("m", model_service_pb2.MODEL_STATE_LOADING))
    put(replicas, "b", status_of("m"))
    assert replicas.states() == {"m": "ready"}


async def test_a_replica_that_breaks_is_out_and_comes_back() -> None:
    async with stub_service() as stub, edge_server([stub.address]) as edge:
        replicas = edge.edge.replicas
        assert list(replicas.ready_models()) == ["m"]
        assert stub.stop is not None
        await stub.stop()
        async with asyncio.timeout(LIMIT_S):
            await replicas.until(lambda: not replicas.ready_models())
        assert refusal(replicas, "m").reason == "MODEL_LOADING"
        async with stub_service(address=stub.address), asyncio.timeout(LIMIT_S):
            await replicas.until(lambda: bool(replicas.ready_models()))
            assert replicas.pick("m", LLM).address == stub.address


async def test_an_address_where_nobody_listens_does_not_hold_the_edge_up() -> None:
    async with asyncio.timeout(LIMIT_S), edge_server(["127.0.0.1:1"]) as edge:
        assert edge.edge.ready
        assert refusal(edge.edge.replicas, "m").reason == "MODEL_NOT_FOUND"


async def test_a_replica_that_discovery_drops_finishes_its_calls(tmp_path: Path) -> None:
    file = tmp_path / "replicas.json"
    async with stub_service() as stub:
        file.write_text(json.dumps({"addresses": [stub.address], "expected_models": ["m"]}))
        async with edge_server(discovery={"file": file}) as edge, asyncio.timeout(LIMIT_S):
            replicas = edge.edge.replicas
            replica = replicas.pick("m", LLM)
            replica.acquire()
            rewrite(file, {"addresses": [], "expected_models": ["m", "n"]})
            await replicas.until(lambda: not list(replicas))
            assert replicas.states() == {"m": "loading", "n": "loading"}
            assert replica.channel.get_state() is not grpc.ChannelConnectivity.SHUTDOWN
            replica.release()
            while (state := replica.channel.get_state()) is not grpc.ChannelConnectivity.SHUTDOWN:
                await replica.channel.wait_for_state_change(state)


def rewrite(file: Path, content: Any) -> None:
    """Replaces a file in one step, as the launcher does."""
    draft = file.with_suffix(".new")
    draft.write_text(content if isinstance(content, str) else json.dumps(content))
    draft.replace(file)


async def test_the_file_is_read_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt_server.edge.discovery.static.POLL_S", 0.001)
    file = tmp_path / "replicas.json"
    settings = DiscoverySettings(addresses=("fixed:1",), file=file)
    snapshots = StaticDiscovery(settings, ["always"]).watch()
    first = asyncio.ensure_future(anext(snapshots))
    rewrite(file, {"addresses": ["a:1"]})
    async with asyncio.timeout(LIMIT_S):
        assert await first == Snapshot(frozenset({"fixed:1", "a:1"}), frozenset({"always"}))
        following = asyncio.ensure_future(anext(snapshots))
        for wrong in ("{", "[]", '{"addresses": "a:1"}', '{"addresses": [1]}', "{}"):
            rewrite(file, wrong)
        rewrite(file, {"addresses": ["b:1"], "expected_models": ["m"]})
        assert await following == Snapshot(frozenset({"fixed:1", "b:1"}), frozenset({"always", "m"}))


@pytest.mark.parametrize("wrong", ["{", "[]", '{"addresses": "a:1"}', '{"addresses": [1]}', "{}"])
async def test_a_file_that_cannot_be_read_changes_nothing(
    tmp_path: Path, wrong: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt_server.edge.discovery.static.POLL_S", 0.001)
    file = tmp_path / "replicas.json"
    file.write_text(wrong)
    snapshots = StaticDiscovery(DiscoverySettings(file=file), []).watch()
    first = asyncio.ensure_future(anext(snapshots))
    async with asyncio.timeout(LIMIT_S):
        while not caplog.records:
            await asyncio.sleep(0)
        rewrite(file, {"addresses": ["a:1"]})
        assert (await first).addresses == {"a:1"}
    assert "cannot read the list of replicas" in caplog.text


def test_states_have_a_name() -> None:
    """`/readyz` shows every state that a service can report."""
    names = {
        name.removeprefix("MODEL_STATE_").lower() for name in model_service_pb2.ModelState.DESCRIPTOR.values_by_name
    }
    assert names == {*STATES, "unspecified"}
