"""Chat requests become the protobuf messages that they should."""

import base64
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from gpt_server.edge.config import MediaSettings
from gpt_server.edge.media import MediaLoader
from gpt_server.edge.schemas.chat import ChatCompletionRequest
from gpt_server.edge.schemas.completions import CompletionRequest
from gpt_server.edge.translation.generation import chat_request, completion_request

PNG = base64.b64encode(b"\x89PNG").decode()
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
SCHEMA_TEXT = '{"type":"object","properties":{"a":{"type":"integer"}}}'

TAG = {"type": "structural_tag", "format": {"type": "const_string", "value": "a"}}
TAG_TEXT = '{"type":"structural_tag","format":{"type":"const_string","value":"a"}}'
OLD_TAG = {
    "type": "structural_tag",
    "structures": [{"begin": "<n>", "schema": SCHEMA, "end": "</n>"}],
    "triggers": ["<n>"],
}
OLD_TAG_TEXT = (
    '{"type":"structural_tag","format":{"type":"triggered_tags","triggers":["<n>"],"tags":[{"type":"tag","begin":"<n>",'
    f'"content":{{"type":"json_schema","json_schema":{SCHEMA_TEXT}}},"end":"</n>"}}]}}}}'
)


async def translated(**fields: Any) -> dict[str, Any]:
    """Returns the request message as a dictionary, under the names of the proto."""
    body = ChatCompletionRequest.model_validate({"model": "m", "messages": [{"role": "user", "content": "x"}]} | fields)
    request = await chat_request(body, MediaLoader(MediaSettings()))
    return MessageToDict(request, preserving_proto_field_name=True)


async def test_a_plain_request_sets_nothing_else() -> None:
    assert await translated() == {
        "model": "m",
        "chat": {"messages": [{"role": "ROLE_USER", "content": [{"text": "x"}]}]},
    }


async def test_sampling() -> None:
    fields = {
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 4,
        "min_p": 0.25,
        "n": 2,
        "min_tokens": 1,
        "stop_token_ids": [5],
        "include_stop_str_in_output": True,
        "ignore_eos": False,
        "presence_penalty": 1,
        "frequency_penalty": -1,
        "repetition_penalty": 1.5,
        "logprobs": True,
        "top_logprobs": 3,
        "skip_special_tokens": False,
    }
    request = await translated(**fields, stop="END", seed=7, max_completion_tokens=9, logit_bias={"5": -100}, user="u")
    expected = fields | {"stop": ["END"], "seed": "7", "max_tokens": 9, "logit_bias": {"5": -100.0}}
    assert request["sampling"] == expected


async def test_messages() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "index": 0}
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "be kind"}], "name": "boss"},
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm", "audio": None},
        {"role": "tool", "content": "4", "tool_call_id": "c1"},
        {"role": "assistant", "content": "four", "refusal": None, "annotations": [], "reasoning": "ok"},
        {"role": "assistant", "refusal": "no"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "never"}]},
    ]
    assert (await translated(messages=messages))["chat"]["messages"] == [
        {"role": "ROLE_DEVELOPER", "content": [{"text": "be kind"}], "name": "boss"},
        {"role": "ROLE_ASSISTANT", "tool_calls": [{"id": "c1", "name": "f", "arguments": "{}"}], "reasoning": "hm"},
        {"role": "ROLE_TOOL", "content": [{"text": "4"}], "tool_call_id": "c1"},
        {"role": "ROLE_ASSISTANT", "content": [{"text": "four"}], "reasoning": "ok"},
        {"role": "ROLE_ASSISTANT", "content": [{"text": "no"}]},
        {"role": "ROLE_ASSISTANT", "content": [{"text": "never"}]},
    ]


async def test_media() -> None:
    content = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}, "prompt_cache_breakpoint": {}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "original"}, "uuid": "a"},
        {"type": "input_audio", "input_audio": {"data": PNG, "format": "mp3"}},
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PNG}", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": PNG}},
    ]
    (message,) = (await translated(messages=[{"role": "user", "content": content}]))["chat"]["messages"]
    assert message["content"] == [
        {"image": {"media": {"content": PNG, "media_type": "image/png"}, "detail": "IMAGE_DETAIL_LOW"}},
        {"image": {"media": {"content": PNG, "media_type": "image/png"}}},
        {"image": {"media": {"content": PNG, "media_type": "image/png"}, "detail": "IMAGE_DETAIL_HIGH"}},
        {"audio": {"content": PNG, "media_type": "audio/mpeg"}},
        {"file": {"content": PNG, "media_type": "application/pdf", "filename": "a.pdf"}},
        {"file": {"content": PNG}},
    ]


async def test_tools() -> None:
    tools = [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}},
        {"type": "function", "function": {"name": "g"}},
    ]
    request = await translated(tools=tools, parallel_tool_calls=False)
    assert request["chat"]["tools"] == [
        {"name": "f", "description": "d", "parameters": SCHEMA_TEXT, "strict": True},
        {"name": "g"},
    ]
    assert request["chat"]["parallel_tool_calls"] is False


@pytest.mark.parametrize(
    ("choice", "mode", "names"),
    [
        ("none", "NONE", None),
        ("auto", "AUTO", None),
        ("required", "REQUIRED", None),
        ({"type": "function", "function": {"name": "f"}}, "REQUIRED", ["f"]),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
            "AUTO",
            ["f"],
        ),
    ],
)
async def test_tool_choice(choice: Any, mode: str, names: list[str] | None) -> None:
    found = (await translated(tool_choice=choice))["chat"]["tool_choice"]
    assert found == {"mode": f"TOOL_CHOICE_MODE_{mode}"} | ({"allowed_tools": names} if names else {})


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "json_object"}}, {"json_object": {}}),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "strict": True, "schema": SCHEMA},
                }
            },
            {"json_schema": SCHEMA_TEXT},
        ),
        ({"guided_json": SCHEMA}, {"json_schema": SCHEMA_TEXT}),
        ({"guided_json": SCHEMA_TEXT}, {"json_schema": SCHEMA_TEXT}),
        ({"guided_regex": "a+"}, {"regex": "a+"}),
        ({"guided_choice": ["a", "b"]}, {"choice": {"texts": ["a", "b"]}}),
        ({"guided_grammar": "root ::= x"}, {"grammar": "root ::= x"}),
        ({"structured_outputs": {"json": SCHEMA}}, {"json_schema": SCHEMA_TEXT}),
        ({"structured_outputs": {"json_object": True}}, {"json_object": {}}),
        ({"structured_outputs": {"regex": "a+"}}, {"regex": "a+"}),
        ({"structured_outputs": {"choice": ["a"]}}, {"choice": {"texts": ["a"]}}),
        ({"structured_outputs": {"grammar": "root ::= x"}}, {"grammar": "root ::= x"}),
        ({"structured_outputs": {"structural_tag": TAG}}, {"structural_tag": TAG_TEXT}),
        (
            {"structured_outputs": {"structural_tag": TAG_TEXT, "whitespace_pattern": None}},
            {"structural_tag": TAG_TEXT},
        ),
        ({"response_format": TAG}, {"structural_tag": TAG_TEXT}),
        ({"response_format": OLD_TAG}, {"structural_tag": OLD_TAG_TEXT}),
    ],
)
async def test_structured_output(fields: dict[str, Any], output: Any) -> None:
    assert (await translated(**fields)).get("structured_output") == output


async def test_deprecated_functions_are_tools() -> None:
    messages = [
        {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "4"},
        {"role": "assistant", "content": "four", "function_call": {"name": "g", "arguments": "{}"}},
        {"role": "function", "name": "g", "content": "5"},
    ]
    functions = [{"name": "f", "description": "d", "parameters": SCHEMA}, {"name": "g"}]
    chat = (await translated(messages=messages, functions=functions, function_call={"name": "f"}))["chat"]
    assert chat["messages"][1:] == [
        {"role": "ROLE_ASSISTANT", "tool_calls": [{"id": "call_1", "name": "f", "arguments": "{}"}]},
        {"role": "ROLE_TOOL", "content": [{"text": "4"}], "name": "f", "tool_call_id": "call_1"},
        {
            "role": "ROLE_ASSISTANT",
            "content": [{"text": "four"}],
            "tool_calls": [{"id": "call_3", "name": "g", "arguments": "{}"}],
        },
        {"role": "ROLE_TOOL", "content": [{"text": "5"}], "name": "g", "tool_call_id": "call_3"},
    ]
    assert chat["tools"] == [{"name": "f", "description": "d", "parameters": SCHEMA_TEXT}, {"name": "g"}]
    assert chat["tool_choice"] == {"mode": "TOOL_CHOICE_MODE_REQUIRED", "allowed_tools": ["f"]}
    assert chat["parallel_tool_calls"] is False
    for mode in ("none", "auto"):
        chat = (await translated(functions=functions, function_call=mode))["chat"]
        assert chat["tool_choice"] == {"mode": f"TOOL_CHOICE_MODE_{mode.upper()}"}


async def test_documents_are_an_argument_of_the_template() -> None:
    documents = [{"title": "a", "text": "ü"}]
    chat = (await translated(documents=documents))["chat"]
    assert chat["template_args_json"] == '{"documents":[{"title":"a","text":"ü"}]}'
    chat = (await translated(documents=documents, chat_template_kwargs={"a": 1}))["chat"]
    assert chat["template_args_json"] == '{"documents":[{"title":"a","text":"ü"}],"a":1}'


async def test_what_is_done_with_the_prompt() -> None:
    request = await translated(
        bad_words=["x"],
        allowed_token_ids=[5, 6],
        prompt_logprobs=0,
        add_special_tokens=False,
        truncate_prompt_tokens=-1,
        cache_salt="s",
        thinking_token_budget=-1,
        return_tokens_as_token_ids=True,
        service_tier="flex",
    )
    assert request.pop("chat")
    assert request == {
        "model": "m",
        "sampling": {"bad_words": ["x"], "allowed_token_ids": [5, 6], "prompt_logprobs": 0},
        "add_special_tokens": False,
        "truncate_prompt_tokens": -1,
        "cache_salt": "s",
    }


async def test_reasoning_and_template() -> None:
    request = await translated(
        reasoning_effort="none",
        enable_thinking=False,
        thinking_token_budget=5,
        chat_template_kwargs={"a": [1, "ü"]},
        continue_final_message=True,
        add_generation_prompt=False,
        priority=-1,
        return_token_ids=True,
    )
    assert request["reasoning"] == {"effort": "REASONING_EFFORT_NONE", "enabled": False, "max_tokens": 5}
    assert request["chat"]["template_args_json"] == '{"a":[1,"ü"]}'
    assert request["chat"]["continue_final_message"] is True
    assert request["chat"]["add_generation_prompt"] is False
    assert (request["priority"], request["return_token_ids"]) == (-1, True)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a", [{"text": "a"}]),
        (["a", "b"], [{"text": "a"}, {"text": "b"}]),
        ([1, 2], [{"token_ids": {"ids": [1, 2]}}]),
        ([[1], [2, 3]], [{"token_ids": {"ids": [1]}}, {"token_ids": {"ids": [2, 3]}}]),
    ],
)
def test_prompts_of_completions(prompt: Any, expected: list[Any]) -> None:
    body = CompletionRequest.model_validate({"model": "m", "prompt": prompt, "logprobs": 0})
    requests = [MessageToDict(completion_request(body, one), preserving_proto_field_name=True) for one in body.prompts]
    sampling = {"max_tokens": 16, "logprobs": True, "top_logprobs": 0}
    assert requests == [{"model": "m", "sampling": sampling} | one for one in expected]


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({"prompt": "a"}, {"sampling": {"max_tokens": 16}}),
        ({"prompt": "a", "logprobs": 2}, {"sampling": {"prompt_logprobs": 2}}),
        ({"prompt": "a", "logprobs": 2, "prompt_logprobs": 5}, {"sampling": {"prompt_logprobs": 5}}),
        ({"prompt": "a", "max_tokens": 0}, {"sampling": {"max_tokens": 1}}),
        ({"prompt": [1]}, {"return_token_ids": True}),
        ({"prompt": "a", "truncate_prompt_tokens": 1}, {"return_token_ids": True}),
    ],
)
def test_an_echo_asks_for_what_it_needs(fields: dict[str, Any], asked: dict[str, Any]) -> None:
    body = CompletionRequest.model_validate({"model": "m", "echo": True} | fields)
    request = MessageToDict(completion_request(body, body.prompts[0]), preserving_proto_field_name=True)
    for name, value in asked.items():
        assert request[name] == (request[name] | value if isinstance(value, dict) else value)
    assert ("return_token_ids" in request) == ("return_token_ids" in asked)
