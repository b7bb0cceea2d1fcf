"""What is told of a prompt: its log-probabilities in vLLM's shape, and tokens by their ids; whole and streamed."""

from typing import Any

import httpx2
import pytest

from tests.edge.asking import chat, completion
from tests.support.raw import events_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def post(shared: httpx2.AsyncClient, path: str, body: Any) -> Any:
    """Returns the answer to a request."""
    answer = await shared.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return events_of(answer.content) if body.get("stream") else answer.json()


def check_scores(scores: Any, token_ids: list[int], words: list[str], top: int) -> None:
    """Asserts that prompt log-probabilities are those of a prompt."""
    assert scores[0] is None
    assert len(scores) == len(token_ids)
    for score, token_id, word in zip(scores[1:], token_ids[1:], words[1:], strict=True):
        assert len(score) == max(top, 1)
        assert score[str(token_id)]["decoded_token"] == word
        assert score[str(token_id)]["logprob"] < 0
        assert sorted(one["rank"] or 0 for one in score.values()) == (list(range(1, top + 1)) or [0])


@pytest.mark.parametrize("top", [0, 1, 3])
async def test_of_chat(shared: httpx2.AsyncClient, top: int) -> None:
    body = chat("one two three", prompt_logprobs=top, return_token_ids=True, n=2)
    whole = await post(shared, "/v1/chat/completions", body)
    check_scores(whole["prompt_logprobs"], whole["prompt_token_ids"], ["one", " two", " three"], top)
    options = {"include_usage": True}
    events = await post(shared, "/v1/chat/completions", body | {"stream": True, "stream_options": options})
    (told,) = [event for event in events if "prompt_logprobs" in event]
    assert told["prompt_logprobs"] == whole["prompt_logprobs"]
    assert (told["choices"], told["usage"]) == ([], None)
    # After the roles, before the text.
    assert events.index(told) == 2


@pytest.mark.parametrize("top", [0, 2])
async def test_of_completions(shared: httpx2.AsyncClient, top: int) -> None:
    body = completion(["one two", "three four five"], prompt_logprobs=top, return_token_ids=True, n=2, seed=1)
    whole = await post(shared, "/v1/completions", body)
    events = await post(shared, "/v1/completions", body | {"stream": True})
    for choice in whole["choices"]:
        words = ["one", " two"] if choice["index"] < 2 else ["three", " four", " five"]
        check_scores(choice["prompt_logprobs"], choice["prompt_token_ids"], words, top)
        pieces = [piece for event in events for piece in event["choices"] if piece["index"] == choice["index"]]
        assert pieces[0]["prompt_logprobs"] == choice["prompt_logprobs"]
        assert not any("prompt_logprobs" in piece for piece in pieces[1:])


async def test_they_are_not_told_unless_asked_for(shared: httpx2.AsyncClient) -> None:
    assert "prompt_logprobs" not in await post(shared, "/v1/chat/completions", chat())
    assert "prompt_logprobs" not in (await post(shared, "/v1/completions", completion()))["choices"][0]


@pytest.mark.parametrize("stream", [False, True])
async def test_tokens_by_their_ids(shared: httpx2.AsyncClient, stream: bool) -> None:
    fields: dict[str, Any] = {"return_tokens_as_token_ids": True, "return_token_ids": True, "stream": stream}
    answer = await post(shared, "/v1/chat/completions", chat(logprobs=True, top_logprobs=2, **fields))
    choices = [choice for event in (answer if stream else [answer]) for choice in event["choices"]]
    scores = [score for choice in choices if choice["logprobs"] for score in choice["logprobs"]["content"]]
    ids = [token_id for choice in choices for token_id in choice.get("token_ids", [])]
    assert [score["token"] for score in scores] == [f"token_id:{token_id}" for token_id in ids] != []
    assert bytes(scores[0]["bytes"]) == b"You"
    assert all(other["token"].startswith("token_id:") for score in scores for other in score["top_logprobs"])
    answer = await post(shared, "/v1/completions", completion(logprobs=1, **fields))
    choices = [choice for event in (answer if stream else [answer]) for choice in event["choices"]]
    tokens = [token for choice in choices if choice["logprobs"] for token in choice["logprobs"]["tokens"]]
    ids = [token_id for choice in choices for token_id in choice.get("token_ids", [])]
    assert tokens == [f"token_id:{token_id}" for token_id in ids] != []


async def test_only_the_end_of_a_prompt(shared: httpx2.AsyncClient) -> None:
    body = completion("one two three four", truncate_prompt_tokens=2, echo=True)
    answer = await post(shared, "/v1/completions", body)
    assert answer["usage"]["prompt_tokens"] == 2
    assert answer["choices"][0]["text"].startswith(" three four")


@pytest.mark.parametrize("tier", ["auto", "flex"])
async def test_there_is_one_service_tier(shared: httpx2.AsyncClient, tier: str) -> None:
    assert (await post(shared, "/v1/chat/completions", chat(service_tier=tier)))["service_tier"] == "default"
    events = await post(shared, "/v1/chat/completions", chat(service_tier=tier, stream=True))
    assert {event["service_tier"] for event in events} == {"default"}
    assert "service_tier" not in await post(shared, "/v1/chat/completions", chat())
