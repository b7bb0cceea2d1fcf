"""POST /v1/completions: many prompts, echo, the old log-probabilities."""

from typing import Any

import httpx2
import pytest

from tests.edge.asking import completion
from tests.support.raw import events_of


async def test_choices_of_several_prompts(http: httpx2.AsyncClient) -> None:
    body = completion(["a b", "c"], n=2, max_tokens=2)
    answer = (await http.post("/v1/completions", json=body)).json()
    assert answer["object"] == "text_completion"
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert {choice["finish_reason"] for choice in answer["choices"]} == {"length"}
    assert answer["usage"]["prompt_tokens"] == 3
    assert answer["usage"]["completion_tokens"] == 8


async def test_required_nullable_keys(http: httpx2.AsyncClient) -> None:
    (choice,) = (await http.post("/v1/completions", json=completion())).json()["choices"]
    assert choice.keys() == {"index", "text", "logprobs", "finish_reason"}
    assert choice["logprobs"] is None


async def test_echo_repeats_the_prompt(http: httpx2.AsyncClient) -> None:
    body = completion(["one", "two"], echo=True)
    whole = (await http.post("/v1/completions", json=body)).json()
    texts = [choice["text"] for choice in whole["choices"]]
    assert [text[:3] for text in texts] == ["one", "two"]
    assert streamed_texts((await http.post("/v1/completions", json=body | {"stream": True})).content) == texts


@pytest.mark.parametrize(
    "fields",
    [
        {"echo": True},
        {"echo": True, "logprobs": 2},
        {"echo": True, "logprobs": 0, "max_tokens": 0},
        {"echo": True, "logprobs": 1, "return_token_ids": True, "prompt_logprobs": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["text", "token ids"])
async def test_an_echo_is_streamed_as_it_is_whole(http: httpx2.AsyncClient, kind: str, fields: dict[str, Any]) -> None:
    texts = ["one two", "three"]
    body = completion(texts, n=2, seed=1, **fields)
    if kind == "token ids":
        asked = [{"model": "fake-chat", "prompt": text} for text in texts]
        body["prompt"] = [(await http.post("/tokenize", json=each)).json()["tokens"] for each in asked]
    whole = (await http.post("/v1/completions", json=body)).json()
    options = {"include_usage": True}
    answer = await http.post("/v1/completions", json=body | {"stream": True, "stream_options": options})
    events = events_of(answer.content)
    assert [choice["text"].startswith(texts[choice["index"] // 2]) for choice in whole["choices"]] == [True] * 4
    assert streamed_texts(answer.content) == [choice["text"] for choice in whole["choices"]]
    assert events[-1]["usage"] == whole["usage"]
    for choice in whole["choices"]:
        pieces = [c for event in events for c in event["choices"] if c["index"] == choice["index"]]
        if "logprobs" in fields:
            check_echo(choice, texts[choice["index"] // 2])
            for name, values in choice["logprobs"].items():
                assert [value for piece in pieces if piece["logprobs"] for value in piece["logprobs"][name]] == values
        assert pieces[-1]["finish_reason"] == choice["finish_reason"]


def check_echo(choice: dict[str, Any], prompt: str) -> None:
    """Asserts that the log-probabilities of a choice are those of the prompt and of what follows it."""
    logprobs = choice["logprobs"]
    assert "".join(logprobs["tokens"]) == choice["text"]
    assert logprobs["token_logprobs"][0] is None
    assert logprobs["top_logprobs"][0] is None
    assert all(logprob < 0 for logprob in logprobs["token_logprobs"][1:])
    for token, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
        assert choice["text"][offset:].startswith(token)
    assert len({len(values) for values in logprobs.values()}) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_an_echo_alone(http: httpx2.AsyncClient, stream: bool) -> None:
    body = completion("one two", echo=True, max_tokens=0, stream=stream, return_token_ids=True)
    answer = await http.post("/v1/completions", json=body)
    documents = events_of(answer.content) if stream else [answer.json()]
    choices = [choice for document in documents for choice in document["choices"]]
    assert "".join(choice["text"] for choice in choices) == "one two"
    assert choices[-1]["finish_reason"] == "length"
    assert not any(choice.get("token_ids") for choice in choices)
    if not stream:
        assert documents[0]["usage"]["completion_tokens"] == 0


async def test_a_stream_says_what_a_whole_answer_says(http: httpx2.AsyncClient) -> None:
    body = completion(["a b", "c d e"], n=2, logprobs=2, return_token_ids=True, seed=1)
    whole = (await http.post("/v1/completions", json=body)).json()
    events = events_of((await http.post("/v1/completions", json=body | {"stream": True})).content)
    for choice in whole["choices"]:
        pieces = [c for event in events for c in event["choices"] if c["index"] == choice["index"]]
        assert "".join(piece["text"] for piece in pieces) == choice["text"]
        for name, values in choice["logprobs"].items():
            assert [value for piece in pieces if piece["logprobs"] for value in piece["logprobs"][name]] == values
        assert [token for piece in pieces for token in piece.get("token_ids", [])] == choice["token_ids"]
        assert pieces[0]["prompt_token_ids"] == choice["prompt_token_ids"]
        assert [piece["finish_reason"] for piece in pieces if piece["finish_reason"]] == [choice["finish_reason"]]
    assert [choice["prompt_token_ids"] for choice in whole["choices"]] != []


async def test_logprobs_in_the_old_shape(http: httpx2.AsyncClient) -> None:
    (choice,) = (await http.post("/v1/completions", json=completion("a b", logprobs=2))).json()["choices"]
    logprobs = choice["logprobs"]
    assert "".join(logprobs["tokens"]) == choice["text"]
    assert logprobs["text_offset"] == [len("".join(logprobs["tokens"][:i])) for i in range(len(logprobs["tokens"]))]
    assert all(len(top) == 2 for top in logprobs["top_logprobs"])
    assert all(logprob <= 0 for logprob in logprobs["token_logprobs"])


async def test_usage_in_the_stream(http: httpx2.AsyncClient) -> None:
    body = completion(["a", "b"], max_tokens=1, stream=True, stream_options={"include_usage": True})
    *others, last = events_of((await http.post("/v1/completions", json=body)).content)
    assert all(event["usage"] is None for event in others)
    assert last["choices"] == []
    assert last["usage"] == last["usage"] | {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}


async def test_token_ids_as_prompt(http: httpx2.AsyncClient) -> None:
    tokens = (await http.post("/tokenize", json={"model": "fake-chat", "prompt": "a b"})).json()["tokens"]
    answer = (await http.post("/v1/completions", json=completion(tokens, return_token_ids=True))).json()
    assert answer["choices"][0]["prompt_token_ids"] == tokens


async def test_one_refused_prompt_refuses_all(http: httpx2.AsyncClient) -> None:
    response = await http.post("/v1/completions", json=completion(["a", "b " * 5000]))
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"


def streamed_texts(body: bytes) -> list[str]:
    """Returns the text of each choice of a stream."""
    texts: dict[int, str] = {}
    choices: list[Any] = [choice for event in events_of(body) for choice in event["choices"]]
    for choice in choices:
        texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
    return [texts[index] for index in sorted(texts)]
