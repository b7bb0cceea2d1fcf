"""The policy on plain numbers: load, capacity, beginnings of prompts, keys."""

from collections import Counter
from collections.abc import Sequence

import pytest

from gpt_server.common.v1 import media_pb2
from gpt_server.edge.affinity import affinity_of
from gpt_server.edge.config import RoutingSettings
from gpt_server.edge.routing import (
    BLOCK_BYTES,
    BLOCKS_OF_PROMPT,
    Affinity,
    Candidate,
    Choice,
    Prefixes,
    Router,
    blocks_of,
    rendezvous,
    two_of,
)
from gpt_server.llm.v1 import chat_pb2
from gpt_server.llm.v1.chat_pb2 import Chat, Message, Tool
from gpt_server.llm.v1.llm_service_pb2 import GenerateRequest, TokenIds

LONG = "x" * (4 * BLOCK_BYTES)


def with_requests(*requests: int, capacity: int = 16) -> list[Candidate]:
    """Replicas `a`, `b`, … that have so many requests."""
    return [Candidate("abcdefgh"[number], count, capacity) for number, count in enumerate(requests)]


def router(**settings: object) -> Router:
    """A router that has seen nothing."""
    return Router(RoutingSettings.model_validate(settings))


def prompt(text: str) -> Affinity:
    """The affinity of a prompt."""
    return Affinity(blocks_of(text.encode()))


def test_of_two_the_less_loaded() -> None:
    chosen = {router().choose(with_requests(3, 2), Affinity()) for _ in range(50)}
    assert chosen == {Choice("b", "load")}


def test_the_most_loaded_of_many_is_never_chosen() -> None:
    counts = Counter(router().choose(with_requests(1, 1, 9, 1), Affinity()).address for _ in range(400))
    assert set(counts) == {"a", "b", "d"}


def test_capacity_says_how_often_a_replica_is_looked_at() -> None:
    candidates = [Candidate("small", 0, 1), Candidate("other", 0, 1), Candidate("large", 0, 98)]
    looked_at = Counter(one.address for _ in range(1000) for one in two_of(candidates))
    assert looked_at["large"] > 950
    assert len(set(two_of(candidates))) == 2


def test_two_edges_that_see_each_other_late_stay_balanced() -> None:
    """Each knows its own calls at once and those of the other as of the last report, 24 requests ago."""
    own = [Counter[str](), Counter[str]()]
    for _ in range(10):
        reported = own[0] + own[1]
        begun = [Counter[str](), Counter[str]()]
        for number in range(24):
            edge = number % 2
            known = [Candidate(name, reported[name] + begun[edge][name], 64) for name in "abc"]
            begun[edge][router().choose(known, Affinity()).address] += 1
        own = [own[0] + begun[0], own[1] + begun[1]]
    total = own[0] + own[1]
    assert max(total.values()) / min(total.values()) <= 1.3


def test_a_long_beginning_goes_where_it_was() -> None:
    routing = router()
    first = routing.choose(with_requests(0, 0, 0, 0), prompt(LONG + "one"))
    assert first.reason == "load"
    for number in range(20):
        assert routing.choose(with_requests(1, 1, 1, 1), prompt(LONG + str(number))) == (first.address, "prefix")


def test_unless_that_replica_is_much_busier() -> None:
    routing = router()
    held = routing.choose(with_requests(0, 9), prompt(LONG))
    assert held.address == "a"
    assert routing.choose(with_requests(6, 4), prompt(LONG)).address == "a"
    assert routing.choose(with_requests(12, 2), prompt(LONG)).address == "b"
    assert routing.choose(with_requests(12, 2), prompt(LONG)).reason == "prefix", "now both have it"


def test_the_weight_of_load_decides_how_much() -> None:
    for weight, expected in ((0.0, "a"), (4.0, "b")):
        routing = router(load_weight=weight)
        assert routing.choose(with_requests(0), prompt(LONG)).address == "a"
        assert routing.choose(with_requests(6, 4), prompt(LONG)).address == expected


def test_a_beginning_that_all_share_spreads() -> None:
    """Else one replica would have all the work: "death spiral" of routers that look for prefixes alone."""
    routing, counts = router(), Counter[str]()
    for number in range(96):
        candidates = [Candidate(name, counts[name], 64) for name in "abc"]
        counts[routing.choose(candidates, prompt(LONG + "y" * BLOCK_BYTES * (number % 7))).address] += 1
    assert max(counts.values()) / min(counts.values()) <= 1.3


def test_the_longer_beginning_wins() -> None:
    routing = router()
    other = LONG[: 2 * BLOCK_BYTES] + "y" * 2 * BLOCK_BYTES
    assert routing.choose(with_requests(0, 1), prompt(other)).address == "a"
    assert routing.choose(with_requests(9, 0), prompt(LONG)).address == "b"
    assert routing.choose(with_requests(0, 0), prompt(LONG)) == ("b", "prefix")


def test_short_prompts_have_no_affinity() -> None:
    assert blocks_of(b"x" * (BLOCK_BYTES - 1)) == []
    assert len(blocks_of(b"x" * (BLOCK_BYTES * (BLOCKS_OF_PROMPT + 9)))) == BLOCKS_OF_PROMPT


def test_what_is_remembered_is_bounded_and_beginnings_stay_longest() -> None:
    prefixes = Prefixes(limit=8)
    for text in "abcd":
        prefixes.note(blocks_of(text.encode() * (3 * BLOCK_BYTES)), "r")
    assert len(prefixes) == 8
    assert prefixes.shares(blocks_of(b"d" * (3 * BLOCK_BYTES))) == {"r": 1.0}
    assert prefixes.shares(blocks_of(b"b" * (3 * BLOCK_BYTES))) == {"r": pytest.approx(2 / 3)}
    assert prefixes.shares(blocks_of(b"a" * (3 * BLOCK_BYTES))) == {}
    for number in range(100):
        prefixes.note(blocks_of(b"d" * BLOCK_BYTES), f"r{number}")
    assert len(prefixes.shares(blocks_of(b"d" * BLOCK_BYTES))) == 8


def test_a_key_points_to_the_same_replica_at_every_edge() -> None:
    candidates = with_requests(0, 0, 0, 0)
    expected = {str(key): rendezvous(candidates, str(key)) for key in range(200)}
    assert min(Counter(expected.values()).values()) > 25
    for key, address in list(expected.items())[:20]:
        assert router().choose(candidates[::-1], Affinity(key=key)) == (address, "key")
    without = candidates[1:]
    moved = {key for key, address in expected.items() if rendezvous(without, key) != address}
    assert moved == {key for key, address in expected.items() if address == "a"}


def test_rendezvous_is_the_same_in_every_process() -> None:
    """It must not depend on Python's own hash, which is seeded anew in each."""
    assert [rendezvous(with_requests(0, 0, 0, 0), key) for key in ("alice", "bob", "carol", "dave")] == EXPECTED


EXPECTED: Sequence[str] = ["a", "d", "a", "c"]


def test_round_robin_and_random_know_nothing() -> None:
    turns = router(policy="round_robin")
    assert [turns.choose(with_requests(9, 0, 5), prompt(LONG)).address for _ in range(4)] == ["a", "b", "c", "a"]
    some = router(policy="random")
    assert {some.choose(with_requests(9, 0, 5), prompt(LONG)).address for _ in range(100)} == {"a", "b", "c"}
    least = router(policy="least_load")
    assert {least.choose(with_requests(9, 0), Affinity(key=str(key))) for key in range(20)} == {Choice("b", "load")}


def chat(*texts: str, cache_salt: str = "") -> GenerateRequest:
    """A conversation with one part for each text."""
    messages = [Message(role=chat_pb2.ROLE_USER, content=[media_pb2.Part(text=text)]) for text in texts]
    return GenerateRequest(model="m", chat=Chat(messages=messages), cache_salt=cache_salt)


def test_conversations_that_begin_alike_share_blocks() -> None:
    one, two = (affinity_of(chat(LONG, end), "").blocks for end in ("one" * BLOCK_BYTES, "two" * BLOCK_BYTES))
    assert len(one) == len(two) == 7
    assert one[:4] == two[:4]
    assert one[4] != two[4]
    grown = affinity_of(chat(LONG, "one" * BLOCK_BYTES, "more" * BLOCK_BYTES), "").blocks
    assert grown[:7] == one


def test_a_longer_message_begins_like_a_shorter_one() -> None:
    assert affinity_of(chat(LONG + LONG), "").blocks[:4] == affinity_of(chat(LONG), "").blocks


@pytest.mark.parametrize(
    "other",
    [
        GenerateRequest(model="n", chat=chat(LONG).chat),
        chat(LONG, cache_salt="mine"),
        GenerateRequest(model="m", chat=Chat(tools=[Tool(name="t")], messages=chat(LONG).chat.messages)),
        GenerateRequest(model="m", chat=Chat(template_args_json="{}", messages=chat(LONG).chat.messages)),
    ],
)
def test_what_makes_another_prompt_makes_other_blocks(other: GenerateRequest) -> None:
    assert affinity_of(other, "").blocks[0] != affinity_of(chat(LONG), "").blocks[0]


def test_nothing_after_a_picture_counts() -> None:
    request = chat(LONG, LONG)
    request.chat.messages[1].content.insert(0, media_pb2.Part(image=media_pb2.Image()))
    assert affinity_of(request, "").blocks == affinity_of(chat(LONG), "").blocks


def test_raw_prompts_have_blocks_too() -> None:
    assert len(affinity_of(GenerateRequest(model="m", text=LONG), "").blocks) == 4
    assert len(affinity_of(GenerateRequest(model="m", token_ids=TokenIds(ids=range(512))), "").blocks) == 2
