"""What is said about bodies that cannot be read: which field, what is wrong, what is allowed."""

import asyncio
import json
from typing import Any

import httpx2
import pytest

from tests.edge.asking import chat, completion
from tests.support.edge import edge_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"content-type": "application/json"}
USER = {"role": "user", "content": "x"}
CALL = {"name": "f", "arguments": "{}"}
FUNCTION = {"name": "f"}
TOOL = {"type": "function", "function": FUNCTION}
NAMED = {"type": "function", "function": {"name": "g"}}
OLD_TAG = {"type": "structural_tag", "structures": [{"begin": "<n>", "end": "</n>"}], "triggers": ["<n>"]}
PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


async def error(shared: httpx2.AsyncClient, body: Any, path: str = "/v1/chat/completions") -> dict[str, Any]:
    """Posts a wrong body, and returns the error object."""
    response = await shared.post(path, json=body)
    assert response.status_code == 400, response.text
    found: dict[str, Any] = response.json()["error"]
    assert found["type"] == "invalid_request_error"
    return found


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "not valid JSON"),
        (b'{"model": NaN}', "not valid JSON"),
        (b'{"model": "\\ud800"}', "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'"x"', "must be a JSON object"),
        (b"", "send a JSON object"),
    ],
)
async def test_what_is_no_json_object(shared: httpx2.AsyncClient, content: bytes, words: str) -> None:
    response = await shared.post("/v1/chat/completions", content=content, headers=JSON)
    assert response.status_code == 400
    assert words in response.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_other_content_types_are_not_read(shared: httpx2.AsyncClient, kind: str) -> None:
    """A web page of another origin can send these without asking first."""
    response = await shared.post("/v1/chat/completions", content=json.dumps(chat()), headers={"content-type": kind})
    assert response.status_code == 400
    assert "Content-Type: application/json" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"model": None}, "model", "Missing required parameter: 'model'"),
        ({"model": ""}, "model", "at least 1 character"),
        ({"messages": None}, "messages", "Missing required parameter: 'messages'"),
        ({"messages": []}, "messages", "at least 1 item"),
        ({"messages": "hi"}, "messages", "a valid list, but it is a string"),
        ({"messages": [5]}, "messages[0]", "an object, but it is an integer"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "Missing required parameter"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "'developer', 'system', 'user'"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].name", "Required for a message of role"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role", "Must follow"),
        ({"messages": [USER | {"function_call": CALL}]}, "messages[0].function_call", "Only allowed for role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "Required for a message of role 'user'"),
        ({"messages": [USER | {"content": 5}]}, "messages[0].content", "a string or a list of content parts"),
        ({"messages": [USER | {"content": [{"type": "text"}]}]}, "messages[0].content[0].text", "missing"),
        ({"messages": [USER | {"content": [{"type": "video"}]}]}, "messages[0].content[0].type", "'input_audio'"),
        ({"messages": [USER | {"content": [PNG | {"text": "x"}]}]}, "messages[0].content[0].text", "Not allowed"),
        ({"messages": [{"role": "system", "content": [PNG]}]}, "messages[0].content[0].type", "may hold text"),
        ({"messages": [USER, {"role": "tool", "content": "x"}]}, "messages[1].tool_call_id", "Required"),
        ({"messages": [USER | {"tool_call_id": "x"}]}, "messages[0].tool_call_id", "Only allowed for role 'tool'"),
        ({"messages": [USER | {"reasoning": "x"}]}, "messages[0].reasoning", "Only allowed for role 'assistant'"),
        ({"messages": [USER | {"colour": "red"}]}, "messages[0].colour", "Unknown parameter"),
        ({"temperature": "hot"}, "temperature", "a valid number, but it is a string"),
        ({"temperature": True}, "temperature", "a valid number, but it is a boolean"),
        ({"max_tokens": 1.5}, "max_tokens", "valid integer"),
        ({"max_tokens": 2**31}, "max_tokens", "less than or equal to 2147483647"),
        ({"seed": 2**63}, "seed", "less than or equal to"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens", "Contradicts"),
        ({"stop": 5}, "stop", "valid list"),
        ({"stop": ["a", 5]}, "stop[1]", "a valid string, but it is an integer"),
        ({"logit_bias": {"a": 1}}, "logit_bias", "token ids"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "'stream': true"),
        ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x", "Unknown"),
        ({"reasoning_effort": "huge"}, "reasoning_effort", "'minimal', 'low'"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name", "pattern"),
        ({"tool_choice": "sometimes"}, "tool_choice.type", "'auto', 'required'"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function", "Required with type 'function'"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "Required"),
        ({"response_format": {"type": "grammar"}}, "response_format.type", "'json_schema' or 'structural_tag'"),
        ({"guided_json": 5}, "guided_json", "JSON Schema"),
        ({"guided_regex": "a", "guided_choice": ["a"]}, "guided_choice", "Only one of 'guided_regex' and"),
        ({"response_format": {"type": "structural_tag"}}, "response_format.format", "Required with type"),
        ({"response_format": {"type": "text", "format": {}}}, "response_format.format", "and only with it"),
        ({"response_format": OLD_TAG | {"triggers": None}}, "response_format.triggers", "belong together"),
        ({"structured_outputs": {"structural_tag": 5}}, "structured_outputs.structural_tag", "a structural tag"),
        (
            {"structured_outputs": {"json": {}, "disable_any_whitespace": True}},
            "structured_outputs.disable_any_whitespace",
            "ask for a 'regex'",
        ),
        ({"functions": [FUNCTION], "tools": [TOOL]}, "functions", "Contradicts 'tools'"),
        ({"function_call": "auto", "tools": [TOOL]}, "function_call", "there is 'tool_choice'"),
        ({"functions": [FUNCTION], "function_call": {}}, "function_call", "the name of a function"),
        ({"functions": [FUNCTION], "function_call": "required"}, "function_call.mode", "'none' or 'auto'"),
        ({"functions": [FUNCTION], "function_call": {"name": "g"}}, "function_call", "must be one of chat.tools"),
        ({"functions": [FUNCTION | {"parameters": []}]}, "functions[0].parameters", "an object, but it is a list"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].custom", "There are no custom tools"),
        ({"tools": [{"type": "custom"}]}, "tools[0].type", "There are no custom tools"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "run at OpenAI"),
        ({"tool_choice": {"type": "custom"}}, "tool_choice.type", "There are no custom tools"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.type", "'required', 'function' or 'allowed_tools'"),
        ({"tool_choice": "required"}, "tool_choice", "needs at least one tool"),
        ({"tool_choice": NAMED, "tools": [TOOL]}, "tool_choice", "must be one of chat.tools (f); got 'g'"),
        (
            {"documents": [{"text": "x"}], "chat_template_kwargs": {"documents": []}},
            "documents",
            "Contradicts 'chat_template_kwargs'",
        ),
        ({"prompt_logprobs": 21}, "prompt_logprobs", "between 0 and 20; got 21"),
        ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens", "at least 1, or -1"),
        ({"truncation_side": "right"}, "truncation_side", "cuts off"),
        ({"bad_words": ["x", ""]}, "bad_words[1]", "must not be empty"),
        ({"bad_words": ["x"]}, "bad_words", "says the words of its script"),
        ({"allowed_token_ids": [-1]}, "allowed_token_ids[0]", "must be a token id"),
        ({"cache_salt": "x" * 300}, "cache_salt", "at most 256 characters"),
        ({"store": True}, "store", "Only false is accepted"),
        ({"service_tier": "gold"}, "service_tier", "'priority' or 'fast'"),
        ({"top_k": -5}, "top_k", ""),
        ({"n": 0}, "n", ""),
    ],
)
async def test_faults_are_named(shared: httpx2.AsyncClient, fields: dict[str, Any], param: str, words: str) -> None:
    found = await error(shared, chat() | fields)
    assert found["param"] == param
    assert words in found["message"]
    assert param in found["message"]


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"prompt": None}, "prompt", "Missing"),
        ({"prompt": []}, "prompt", "a list of token ids"),
        ({"prompt": [1, "a"]}, "prompt", "a list of token ids"),
        ({"prompt": [[1], []]}, "prompt", "a list of token ids"),
        ({"prompt": [-1]}, "prompt", "a list of token ids"),
        ({"prompt": ["x"] * 129}, "prompt", "At most 128"),
        ({"prompt": [999999]}, "prompt", "vocabulary"),
        ({"logprobs": 21}, "logprobs", "less than or equal to 20"),
        ({"max_tokens": 0}, "max_tokens", "must be at least 1"),
        ({"best_of": 2}, "best_of", "unless it equals 'n'"),
        ({"suffix": "x"}, "suffix", "not supported"),
        ({"echo": True, "prompt": [10**6]}, "prompt", "in the vocabulary"),
        ({"add_special_tokens": True, "prompt": [1]}, "add_special_tokens", "must not be true with token_ids"),
        ({"suffix": "x"}, "suffix", "write the model's own marks"),
    ],
)
async def test_faults_of_completions_are_named(
    shared: httpx2.AsyncClient, fields: dict[str, Any], param: str, words: str
) -> None:
    found = await error(shared, completion() | fields, "/v1/completions")
    assert found["param"] == param
    assert words in found["message"]


async def test_no_value_of_the_caller_is_repeated(shared: httpx2.AsyncClient) -> None:
    found = await error(shared, chat(temperature="secret " * 1000))
    assert "secret" not in json.dumps(found)


async def test_too_large_a_body_is_refused_before_it_is_read() -> None:
    async with edge_server(max_body_bytes=2048) as edge, httpx2.AsyncClient(base_url=edge.url) as client:
        response = await client.post("/v1/chat/completions", json=chat("x" * 5000))
        assert (response.status_code, response.json()["error"]["code"]) == (413, "payload_too_large")
        assert "2048 bytes" in response.json()["error"]["message"]

        async def pieces() -> Any:
            for _ in range(50):
                yield b" " * 100

        response = await client.post("/v1/chat/completions", content=pieces(), headers=JSON)
        assert response.status_code == 413
        assert response.headers["x-request-id"]


async def test_a_large_body_is_not_waited_for() -> None:
    """The head alone is enough: no byte of the body is sent here."""
    async with edge_server(max_body_bytes=2048) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(edge.url.rpartition(":")[2]))
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n")
        assert b" 413 " in await asyncio.wait_for(reader.readline(), 10)
        writer.close()
