"""Requests of `gpt_server.llm.v1` -> dataclasses. Names are the same on both sides; `checks` looks at the values."""

from collections.abc import Mapping
from typing import Any

from gpt_server.llm.v1 import chat_pb2, sampling_pb2
from gpt_server.llm.v1 import llm_service_pb2 as pb
from gpt_server.services.common.protobuf import enum as _enum
from gpt_server.services.common.protobuf import if_set as _if_set
from gpt_server.services.common.protobuf import one_of as _one_of
from gpt_server.services.common.protobuf import optional as _optional
from gpt_server.services.common.protobuf import optional_enum as _optional_enum
from gpt_server.services.common.protobuf import part as _part
from gpt_server.services.common.protobuf import plain as _plain
from gpt_server.services.llm.engine import (
    Chat,
    GenerateRequest,
    Message,
    Reasoning,
    ReasoningEffort,
    Role,
    Sampling,
    StructuredOutput,
    TokenizeRequest,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceMode,
)

ROLES: Mapping[int, Role] = {
    chat_pb2.ROLE_SYSTEM: "system",
    chat_pb2.ROLE_DEVELOPER: "developer",
    chat_pb2.ROLE_USER: "user",
    chat_pb2.ROLE_ASSISTANT: "assistant",
    chat_pb2.ROLE_TOOL: "tool",
}
TOOL_CHOICE_MODES: Mapping[int, ToolChoiceMode] = {
    chat_pb2.TOOL_CHOICE_MODE_NONE: "none",
    chat_pb2.TOOL_CHOICE_MODE_AUTO: "auto",
    chat_pb2.TOOL_CHOICE_MODE_REQUIRED: "required",
}
REASONING_EFFORTS: Mapping[int, ReasoningEffort] = {
    sampling_pb2.REASONING_EFFORT_NONE: "none",
    sampling_pb2.REASONING_EFFORT_MINIMAL: "minimal",
    sampling_pb2.REASONING_EFFORT_LOW: "low",
    sampling_pb2.REASONING_EFFORT_MEDIUM: "medium",
    sampling_pb2.REASONING_EFFORT_HIGH: "high",
    sampling_pb2.REASONING_EFFORT_XHIGH: "xhigh",
    sampling_pb2.REASONING_EFFORT_MAX: "max",
}


def generate_request(request: pb.GenerateRequest, request_id: str, adapter: str | None) -> GenerateRequest:
    """Returns the engine's form of a request.

    Args:
        request: as it came.
        request_id: unique in the process.
        adapter: key of the adapter that `request.model` names, if it does.

    Raises:
        InvalidField: an enum has no allowed value, or a `oneof` is unset.
    """
    return GenerateRequest(
        request_id=request_id,
        model=request.model,
        adapter=adapter,
        chat=_if_set(request, "chat", request.chat, chat),
        text=_optional(request, "text"),
        token_ids=_if_set(request, "token_ids", request.token_ids, lambda prompt: tuple(prompt.ids)),
        sampling=sampling(request.sampling),
        structured_output=_if_set(request, "structured_output", request.structured_output, structured_output),
        reasoning=_if_set(request, "reasoning", request.reasoning, reasoning),
        priority=_optional(request, "priority"),
        return_token_ids=_optional(request, "return_token_ids"),
        add_special_tokens=_optional(request, "add_special_tokens"),
        truncate_prompt_tokens=_optional(request, "truncate_prompt_tokens"),
        cache_salt=request.cache_salt,
    )


def tokenize_request(request: pb.TokenizeRequest) -> TokenizeRequest:
    """Returns the engine's form of a request. Raises as `generate_request`."""
    return TokenizeRequest(
        model=request.model,
        chat=_if_set(request, "chat", request.chat, chat),
        text=_optional(request, "text"),
        add_special_tokens=_optional(request, "add_special_tokens"),
        return_token_strings=_optional(request, "return_token_strings"),
    )


def chat(conversation: chat_pb2.Chat) -> Chat:
    """Returns a conversation."""
    return Chat(
        messages=tuple(_message(turn, f"chat.messages[{i}]") for i, turn in enumerate(conversation.messages)),
        tools=tuple(
            Tool(tool.name, tool.description, tool.parameters, _optional(tool, "strict")) for tool in conversation.tools
        ),
        tool_choice=_if_set(conversation, "tool_choice", conversation.tool_choice, _tool_choice),
        parallel_tool_calls=_optional(conversation, "parallel_tool_calls"),
        template_args_json=conversation.template_args_json,
        add_generation_prompt=_optional(conversation, "add_generation_prompt"),
        continue_final_message=_optional(conversation, "continue_final_message"),
    )


def sampling(options: sampling_pb2.Sampling) -> Sampling:
    """Returns sampling options: every field that is set, under its own name."""
    return Sampling(**{field.name: _plain(value) for field, value in options.ListFields()})


def structured_output(form: sampling_pb2.StructuredOutput) -> StructuredOutput:
    """Returns the constraint that is set."""
    name = _one_of(form, "constraint", "structured_output")
    value: Any = getattr(form, name)
    if name == "json_object":
        value = True
    elif name == "choice":
        value = tuple(value.texts)
    return StructuredOutput(**{name: value})


def reasoning(wish: sampling_pb2.Reasoning) -> Reasoning:
    """Returns how much the model is to think."""
    return Reasoning(
        enabled=_optional(wish, "enabled"),
        effort=_optional_enum(wish, "effort", REASONING_EFFORTS, "reasoning.effort"),
        max_tokens=_optional(wish, "max_tokens"),
    )


def _message(turn: chat_pb2.Message, path: str) -> Message:
    return Message(
        role=_enum(turn.role, ROLES, f"{path}.role"),
        content=tuple(_part(part, f"{path}.content[{i}]") for i, part in enumerate(turn.content)),
        name=turn.name,
        tool_calls=tuple(ToolCall(call.id, call.name, call.arguments) for call in turn.tool_calls),
        tool_call_id=turn.tool_call_id,
        reasoning=turn.reasoning,
    )


def _tool_choice(choice: chat_pb2.ToolChoice) -> ToolChoice:
    return ToolChoice(_enum(choice.mode, TOOL_CHOICE_MODES, "chat.tool_choice.mode"), tuple(choice.allowed_tools))
