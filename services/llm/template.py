"""What a request tells a chat template: who speaks, which tools there are, thinking, the template's own variables."""

import json
from collections.abc import Collection
from typing import Any

from gpt_server.services.common.errors import InvalidField, UnsupportedFeature
from gpt_server.services.llm.engine import Message, Reasoning, Tool

SWITCHES = ("enable_thinking", "thinking")
"""What templates call the variable that turns thinking on and off."""


def role(message: Message, template: str) -> str:
    """Returns who speaks, as a template knows them: to one that knows no developer, it is the system."""
    return "system" if message.role == "developer" and "developer" not in template else message.role


def parameters(tool: Tool) -> dict[str, Any]:
    """Returns the JSON Schema of a tool's arguments; a tool without one takes none."""
    return json.loads(tool.parameters) if tool.parameters else {"type": "object", "properties": {}}


def thinking(template: str, reasoning: Reasoning | None, thinks: bool) -> dict[str, Any]:
    """Returns the variables that make a template think as the request wants.

    Args:
        template: the template's text.
        reasoning: the wish; `None`: none.
        thinks: the model's reasoning can be told from its answer.

    Raises:
        UnsupportedFeature: the template cannot turn thinking on or off as it is wanted.
    """
    if reasoning is None:
        return {}
    enabled = is_enabled(reasoning)
    variables: dict[str, Any] = {}
    if reasoning.effort is not None and "reasoning_effort" in template:
        variables["reasoning_effort"] = reasoning.effort
    if enabled is not None:
        field = "reasoning.enabled" if reasoning.enabled is not None else "reasoning.effort"
        variables |= _switch(template, enabled, thinks, field, bool(variables))
    return variables


def is_enabled(reasoning: Reasoning) -> bool | None:
    """Returns whether the model is to think; `None`: the request does not say."""
    if reasoning.enabled is None and reasoning.effort is not None:
        return reasoning.effort != "none"
    return reasoning.enabled


def _switch(template: str, enabled: bool, thinks: bool, field: str, told: bool) -> dict[str, Any]:
    for name in SWITCHES:
        if name in template:
            return {name: enabled}
    if told or enabled == thinks:
        return {}
    raise UnsupportedFeature(field, "this model always reasons" if thinks else "this model does not reason")


def template_args(document: str, reserved: Collection[str]) -> dict[str, Any]:
    """Returns the variables in `template_args_json`.

    Args:
        document: a JSON object, or empty.
        reserved: names of what the library's own function takes, which are no variables of a template.

    Raises:
        InvalidField: a name is reserved.
    """
    variables: dict[str, Any] = json.loads(document) if document else {}
    if found := sorted(variables.keys() & set(reserved)):
        raise InvalidField("chat.template_args_json", f"{', '.join(found)}: not a variable of a template")
    return variables
