"""A conversation as the text of a prompt: the chat template, told what the request says of tools and thinking."""

import inspect
import json
from typing import Any

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from gpt_server.services.common.errors import InvalidField, UnsupportedFeature, WrongModelKind
from gpt_server.services.llm.engine import Chat, Message, Part, Reasoning
from gpt_server.services.llm.template import parameters, role, template_args, thinking

#: Arguments of `apply_chat_template` itself, which are no variables of a template.
_RESERVED = frozenset(inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters) - {
    "documents",
    "add_generation_prompt",
    "continue_final_message",
}


def render(
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    chat: Chat,
    reasoning: Reasoning | None,
    thinks: bool,
    sees: bool = False,
) -> str:
    """Returns the text of the prompt; of a picture, the template's own mark.

    Args:
        tokenizer: renders the template.
        template: its text.
        chat: the conversation.
        reasoning: what it wishes of thinking.
        thinks: the model's reasoning can be told from its answer.
        sees: the model takes pictures.

    Raises:
        WrongModelKind: there is no template.
        InvalidField: the template refuses the conversation, or an argument is not one of a template.
        UnsupportedFeature: the model cannot read a part, or the template cannot turn thinking on or off.
    """
    if not template:
        raise WrongModelKind("This model has no chat template: it continues text (/v1/completions), but does not chat.")
    messages = [_message(message, index, template, sees) for index, message in enumerate(chat.messages)]
    continues = bool(chat.continue_final_message)
    opens = not continues if chat.add_generation_prompt is None else chat.add_generation_prompt
    tools: list[Any] | None = _tools(chat)
    variables: dict[str, Any] = {"add_generation_prompt": opens, "continue_final_message": continues}
    variables |= thinking(template, reasoning, thinks) | template_args(chat.template_args_json, _RESERVED)
    try:
        return str(tokenizer.apply_chat_template(messages, tools, chat_template=template, tokenize=False, **variables))
    except (TemplateError, TypeError, ValueError) as error:
        raise InvalidField("chat.messages", f"the model's chat template refuses them: {error}") from error


def _message(message: Message, index: int, template: str, sees: bool) -> dict[str, Any]:
    rendered: dict[str, Any] = {"role": role(message, template), "content": _content(message, index, sees)}
    if message.name:
        rendered["name"] = message.name
    if message.tool_call_id:
        rendered["tool_call_id"] = message.tool_call_id
    if message.reasoning:
        rendered["reasoning_content"] = rendered["reasoning"] = message.reasoning
    if message.tool_calls:
        rendered["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _parsed(call.arguments)}}
            for call in message.tool_calls
        ]
    return rendered


def _content(message: Message, index: int, sees: bool) -> str | list[dict[str, Any]]:
    parts = [_part(part, f"chat.messages[{index}].content[{at}]", sees) for at, part in enumerate(message.content)]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: Part, path: str, sees: bool) -> dict[str, Any]:
    if part.text is not None:
        return {"type": "text", "text": part.text}
    if part.image is not None and sees:
        return {"type": "image"}
    kind = next(name for name in ("image", "audio", "file") if getattr(part, name) is not None)
    raise UnsupportedFeature(path, f"this model reads text{' and pictures' if sees else ''}, no {kind}")


def _parsed(arguments: str) -> Any:
    # Templates write arguments with `tojson`, which would quote a string once more.
    try:
        parsed = json.loads(arguments)
    except ValueError:
        return arguments
    return parsed if isinstance(parsed, dict) else arguments


def _tools(chat: Chat) -> list[dict[str, Any]] | None:
    if not chat.tools or (chat.tool_choice and chat.tool_choice.mode == "none"):
        return None
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": parameters(tool)},
        }
        for tool in chat.tools
    ]
