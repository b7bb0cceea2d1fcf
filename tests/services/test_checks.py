"""What no engine accepts is refused by the name of the field, with what is allowed."""

from typing import Any

import pytest

from gpt_server.common.v1 import media_pb2
from gpt_server.llm.v1 import chat_pb2, sampling_pb2
from gpt_server.llm.v1 import llm_service_pb2 as pb
from gpt_server.services.common.errors import InvalidField
from gpt_server.services.llm import checks, requests

USER = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[media_pb2.Part(text="hi")])
ASSISTANT = chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, content=[media_pb2.Part(text="hi")])
MAX_RUNNING = 4


def turn(**fields: Any) -> chat_pb2.Message:
    """A message of the user with some fields changed."""
    return chat_pb2.Message(**{"role": chat_pb2.ROLE_USER, "content": [media_pb2.Part(text="hi")], **fields})


def chat(*messages: chat_pb2.Message, **fields: Any) -> pb.GenerateRequest:
    """A request with a conversation."""
    return pb.GenerateRequest(model="m", chat=chat_pb2.Chat(messages=messages or [USER], **fields))


def sampled(**fields: Any) -> pb.GenerateRequest:
    """A request with sampling options."""
    return pb.GenerateRequest(model="m", text="hi", sampling=sampling_pb2.Sampling(**fields))


def formed(**fields: Any) -> pb.GenerateRequest:
    """A request for structured output."""
    return pb.GenerateRequest(model="m", text="hi", structured_output=sampling_pb2.StructuredOutput(**fields))


def tool(name: str = "add", **fields: Any) -> chat_pb2.Tool:
    """A tool."""
    return chat_pb2.Tool(name=name, **fields)


def chosen(mode: int, *names: str) -> chat_pb2.ToolChoice:
    """A tool choice."""
    return chat_pb2.ToolChoice(mode=mode, allowed_tools=names)  # type: ignore[arg-type]


def image(content: bytes = b"x", **fields: Any) -> chat_pb2.Message:
    """A message with a picture."""
    part = media_pb2.Part(image=media_pb2.Image(media=media_pb2.Media(content=content), **fields))
    return turn(content=[media_pb2.Part(text="look"), part])


def prompted(**fields: Any) -> pb.GenerateRequest:
    """A request with options of its prompt."""
    return pb.GenerateRequest(model="m", text="hi", **fields)


def thinking(**fields: Any) -> pb.GenerateRequest:
    """A request with reasoning options."""
    return pb.GenerateRequest(model="m", text="hi", reasoning=sampling_pb2.Reasoning(**fields))


REFUSED: list[tuple[pb.GenerateRequest, str, str]] = [
    (pb.GenerateRequest(model="m"), "prompt", "exactly one of these must be set: chat, text, token_ids"),
    (pb.GenerateRequest(token_ids=pb.TokenIds()), "token_ids.ids", "at least one id"),
    (pb.GenerateRequest(token_ids=pb.TokenIds(ids=[1, -1])), "token_ids.ids[1]", "at least 0; got -1"),
    (sampled(temperature=2.5), "sampling.temperature", "between 0 and 2; got 2.5"),
    (sampled(temperature=float("nan")), "sampling.temperature", "between 0 and 2; got nan"),
    (sampled(temperature=float("inf")), "sampling.temperature", "between 0 and 2; got inf"),
    (sampled(top_p=0), "sampling.top_p", "more than 0 and at most 1; got 0"),
    (sampled(top_p=1.5), "sampling.top_p", "more than 0 and at most 1; got 1.5"),
    (sampled(top_k=-2), "sampling.top_k", "at least -1; got -2"),
    (sampled(min_p=-0.5), "sampling.min_p", "between 0 and 1; got -0.5"),
    (sampled(n=0), "sampling.n", "between 1 and 4; got 0"),
    (sampled(n=5), "sampling.n", "between 1 and 4; got 5"),
    (sampled(max_tokens=0), "sampling.max_tokens", "at least 1; got 0"),
    (sampled(min_tokens=-1), "sampling.min_tokens", "at least 0; got -1"),
    (sampled(min_tokens=3, max_tokens=2), "sampling.min_tokens", "at most max_tokens, 2"),
    (sampled(stop=["x"] * 17), "sampling.stop", "at most 16 strings; got 17"),
    (sampled(stop=["x", ""]), "sampling.stop[1]", "must not be empty"),
    (sampled(stop_token_ids=[-7]), "sampling.stop_token_ids[0]", "got -7"),
    (sampled(presence_penalty=-2.5), "sampling.presence_penalty", "between -2 and 2; got -2.5"),
    (sampled(frequency_penalty=2.5), "sampling.frequency_penalty", "between -2 and 2; got 2.5"),
    (sampled(repetition_penalty=0), "sampling.repetition_penalty", "more than 0; got 0"),
    (sampled(repetition_penalty=float("inf")), "sampling.repetition_penalty", "got inf"),
    (sampled(logit_bias={-1: 0}), "sampling.logit_bias[-1]", "token id"),
    (sampled(logit_bias={5: 101}), "sampling.logit_bias[5]", "between -100 and 100; got 101"),
    (sampled(top_logprobs=21, logprobs=True), "sampling.top_logprobs", "between 0 and 20; got 21"),
    (sampled(top_logprobs=1), "sampling.top_logprobs", "needs logprobs to be true"),
    (sampled(prompt_logprobs=21), "sampling.prompt_logprobs", "between 0 and 20; got 21"),
    (sampled(prompt_logprobs=-1), "sampling.prompt_logprobs", "between 0 and 20; got -1"),
    (sampled(bad_words=["x"] * 129), "sampling.bad_words", "at most 128 strings; got 129"),
    (sampled(bad_words=["x", ""]), "sampling.bad_words[1]", "must not be empty"),
    (sampled(allowed_token_ids=[3, -7]), "sampling.allowed_token_ids[1]", "got -7"),
    (prompted(truncate_prompt_tokens=0), "truncate_prompt_tokens", "at least 1, or -1 for as many as fit; got 0"),
    (prompted(truncate_prompt_tokens=-2), "truncate_prompt_tokens", "got -2"),
    (prompted(cache_salt="x" * 257), "cache_salt", "at most 256 characters; got 257"),
    (
        pb.GenerateRequest(token_ids=pb.TokenIds(ids=[1]), add_special_tokens=True),
        "add_special_tokens",
        "must not be true with token_ids",
    ),
    (formed(structural_tag="{"), "structured_output.structural_tag", "JSON document"),
    (formed(structural_tag="[]"), "structured_output.structural_tag", "JSON object"),
    (formed(), "structured_output", "json_object, json_schema, regex, choice, grammar"),
    (formed(json_schema="{"), "structured_output.json_schema", "JSON document"),
    (formed(json_schema="[" * 100_000), "structured_output.json_schema", "JSON document"),
    (formed(json_schema="3"), "structured_output.json_schema", "JSON Schema"),
    (formed(regex=""), "structured_output.regex", "not be empty"),
    (formed(grammar=""), "structured_output.grammar", "not be empty"),
    (formed(choice=sampling_pb2.Choices()), "structured_output.choice.texts", "at least one"),
    (formed(choice=sampling_pb2.Choices(texts=["a", ""])), "structured_output.choice.texts[1]", "not be empty"),
    (thinking(max_tokens=-1), "reasoning.max_tokens", "at least 0"),
    (thinking(effort=0), "reasoning.effort", "must be one of none, minimal, low"),
    (thinking(effort=99), "reasoning.effort", "must be one of none, minimal, low"),
    (pb.GenerateRequest(chat=chat_pb2.Chat()), "chat.messages", "at least one"),
    (chat(turn(role=0)), "chat.messages[0].role", "one of system, developer, user, assistant, tool"),
    (chat(turn(role=77)), "chat.messages[0].role", "one of system, developer, user, assistant, tool"),
    (chat(USER, turn(content=[])), "chat.messages[1].content", "at least one part"),
    (chat(turn(content=[media_pb2.Part()])), "chat.messages[0].content[0]", "text, image, audio, file"),
    (chat(image(b"")), "chat.messages[0].content[1].image.media.content", "at least one byte"),
    (chat(image(detail=0)), "chat.messages[0].content[1].image.detail", "must be one of low, high"),
    (
        chat(turn(content=[media_pb2.Part(file=media_pb2.Media())])),
        "chat.messages[0].content[0].file.content",
        "at least one byte",
    ),
    (chat(turn(role=chat_pb2.ROLE_ASSISTANT, content=[])), "chat.messages[0].content", "at least one part"),
    (chat(turn(role=chat_pb2.ROLE_TOOL)), "chat.messages[0].tool_call_id", "must name the call"),
    (chat(turn(tool_call_id="call_1")), "chat.messages[0].tool_call_id", "of a tool alone"),
    (chat(turn(reasoning="hm")), "chat.messages[0].reasoning", "of the assistant alone"),
    (chat(turn(tool_calls=[chat_pb2.ToolCall()])), "chat.messages[0].tool_calls", "of the assistant alone"),
    (
        chat(turn(role=chat_pb2.ROLE_ASSISTANT, tool_calls=[chat_pb2.ToolCall(name="add")])),
        "chat.messages[0].tool_calls[0].id",
        "not be empty",
    ),
    (
        chat(turn(role=chat_pb2.ROLE_ASSISTANT, tool_calls=[chat_pb2.ToolCall(id="call_1")])),
        "chat.messages[0].tool_calls[0].name",
        "not be empty",
    ),
    (chat(tools=[tool("no space")]), "chat.tools[0].name", "1 to 64 letters"),
    (chat(tools=[tool("x" * 65)]), "chat.tools[0].name", "1 to 64 letters"),
    (chat(tools=[tool("add\n")]), "chat.tools[0].name", "1 to 64 letters"),
    (chat(tools=[tool(), tool()]), "chat.tools[1].name", "must be unique; 'add' is there twice"),
    (chat(tools=[tool(parameters="{]")]), "chat.tools[0].parameters", "JSON document"),
    (chat(tools=[tool(parameters="[]")]), "chat.tools[0].parameters", "JSON object"),
    (chat(tool_choice=chosen(0)), "chat.tool_choice.mode", "one of none, auto, required"),
    (chat(tool_choice=chosen(3)), "chat.tool_choice.mode", "at least one tool"),
    (
        chat(tools=[tool(), tool("sub")], tool_choice=chosen(3, "add", "mul")),
        "chat.tool_choice.allowed_tools[1]",
        r"one of chat.tools \(add, sub\); got 'mul'",
    ),
    (chat(template_args_json="{'a': 1}"), "chat.template_args_json", "JSON document"),
    (chat(template_args_json="[]"), "chat.template_args_json", "JSON object"),
    (chat(USER, continue_final_message=True), "chat.continue_final_message", "last message of the assistant"),
    (
        chat(ASSISTANT, continue_final_message=True, add_generation_prompt=True),
        "chat.continue_final_message",
        "add_generation_prompt",
    ),
]

ACCEPTED = [
    sampled(temperature=0, top_p=1, top_k=0, min_p=1, n=4, max_tokens=1, min_tokens=1, presence_penalty=-2),
    sampled(top_k=-1, frequency_penalty=2, repetition_penalty=0.1, logprobs=True, top_logprobs=20, seed=-(2**63)),
    sampled(stop=["x"] * 16, logit_bias={0: -100, 9: 100}, top_logprobs=0),
    sampled(bad_words=["x"] * 128, allowed_token_ids=[0], prompt_logprobs=20),
    prompted(truncate_prompt_tokens=-1, cache_salt="x" * 256, add_special_tokens=True),
    pb.GenerateRequest(token_ids=pb.TokenIds(ids=[1]), truncate_prompt_tokens=1, add_special_tokens=False),
    formed(json_object=sampling_pb2.JsonObject()),
    formed(structural_tag="{}"),
    formed(json_schema="true"),
    formed(choice=sampling_pb2.Choices(texts=["a"])),
    thinking(enabled=False, max_tokens=0),
    chat(USER, ASSISTANT, continue_final_message=True),
    chat(tools=[tool("a.b-c_D9", parameters='{"type": "object"}'), tool("x" * 64)], tool_choice=chosen(3, "a.b-c_D9")),
    chat(tool_choice=chosen(1)),
    chat(tool_choice=chosen(2)),
    chat(
        turn(
            role=chat_pb2.ROLE_ASSISTANT, content=[], tool_calls=[chat_pb2.ToolCall(id="1", name="add", arguments="{")]
        ),
        turn(role=chat_pb2.ROLE_TOOL, tool_call_id="1"),
    ),
    pb.GenerateRequest(model="m", text=""),
    pb.GenerateRequest(model="m", token_ids=pb.TokenIds(ids=[0])),
]


def check(request: pb.GenerateRequest) -> None:
    """What the servicer does with a request before it asks for a slot."""
    checks.check_generate(requests.generate_request(request, "id", None), MAX_RUNNING)


@pytest.mark.parametrize(
    ("request_", "field", "message"), REFUSED, ids=lambda part: part if isinstance(part, str) else ""
)
def test_refused_by_name(request_: pb.GenerateRequest, field: str, message: str) -> None:
    with pytest.raises(InvalidField, match=message) as refused:
        check(request_)
    assert refused.value.field == field


@pytest.mark.parametrize("request_", ACCEPTED)
def test_accepted_at_the_edges_of_what_is_allowed(request_: pb.GenerateRequest) -> None:
    check(request_)


def test_tokenize_has_its_own_prompts() -> None:
    with pytest.raises(InvalidField, match=r"must be set: chat, text$"):
        checks.check_tokenize(requests.tokenize_request(pb.TokenizeRequest(model="m")))
    with pytest.raises(InvalidField, match="at least one message"):
        checks.check_tokenize(requests.tokenize_request(pb.TokenizeRequest(model="m", chat=chat_pb2.Chat())))
