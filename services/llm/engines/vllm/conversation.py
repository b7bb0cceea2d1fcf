"""A conversation as vLLM's chat request has it: messages, tools and which of them may be called."""

from collections.abc import Sequence
from typing import Any

from gpt_server.services.common.errors import UnsupportedFeature
from gpt_server.services.llm.engine import Chat, Message, Part, Tool
from gpt_server.services.llm.pictures import decode
from gpt_server.services.llm.template import parameters, role


def messages(chat: Chat, template: str, sees: bool) -> list[dict[str, Any]]:
    """Returns the turns.

    Args:
        chat: the conversation.
        template: the chat template's text; empty if the model's library has one of its own.
        sees: whether the model takes pictures.

    Raises:
        UnsupportedFeature: the model cannot read a part.
        InvalidMedia: a picture cannot be decoded.
    """
    return [_message(turn, f"chat.messages[{i}]", template, sees) for i, turn in enumerate(chat.messages)]


def tools(chat: Chat) -> list[dict[str, Any]] | None:
    """Returns the tools that the model is told of; `None`: none."""
    choice = chat.tool_choice
    if not chat.tools or (choice and choice.mode == "none"):
        return None
    named = choice.allowed_tools if choice else ()
    # One that must be called is chosen among all; of several that may be, the model hears of no other.
    must = choice is not None and choice.mode == "required"
    hidden = len(named) > 1 or (named and not must)
    return [_tool(tool, must) for tool in chat.tools if not hidden or tool.name in named]


def tool_choice(chat: Chat) -> Any:
    """Returns which tools may or must be called; for a request that has tools."""
    choice = chat.tool_choice
    if choice is not None and choice.mode == "required" and len(choice.allowed_tools) == 1:
        return {"type": "function", "function": {"name": choice.allowed_tools[0]}}
    return choice.mode if choice else "auto"


def _tool(tool: Tool, must: bool) -> dict[str, Any]:
    # A call that must come is written under a grammar anyway, so its arguments may as well keep to their schema.
    strict = must if tool.strict is None else tool.strict
    function = {"name": tool.name, "description": tool.description, "parameters": parameters(tool), "strict": strict}
    return {"type": "function", "function": function}


def _message(turn: Message, path: str, template: str, sees: bool) -> dict[str, Any]:
    # A model whose library renders without a template knows its own roles.
    said: dict[str, Any] = {
        "role": role(turn, template) if template else turn.role,
        "content": _content(turn.content, path, sees),
    }
    if turn.name:
        said["name"] = turn.name
    if turn.tool_call_id:
        said["tool_call_id"] = turn.tool_call_id
    if turn.reasoning:
        said["reasoning"] = turn.reasoning
    if turn.tool_calls:
        said["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in turn.tool_calls
        ]
    return said


def _content(parts: Sequence[Part], path: str, sees: bool) -> str | list[dict[str, Any]]:
    if all(part.text is not None for part in parts):
        return "".join(part.text or "" for part in parts)
    return [_part(part, f"{path}.content[{i}]", sees) for i, part in enumerate(parts)]


def _part(part: Part, path: str, sees: bool) -> dict[str, Any]:
    if part.text is not None:
        return {"type": "text", "text": part.text}
    if part.image is not None and sees:
        return {"type": "image_pil", "image_pil": decode(part.image, f"{path}.image.media.content")}
    kind = next(name for name in ("image", "audio", "file") if getattr(part, name) is not None)
    raise UnsupportedFeature(path, f"this model reads text{' and pictures' if sees else ''}, no {kind}")
