"""Requests of the tests, in few words."""

from typing import Any

from openai.types.chat import ChatCompletionMessageParam


def say(text: str) -> list[ChatCompletionMessageParam]:
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


def script(**fake: Any) -> dict[str, Any]:
    """The `extra_body` that tells the fake engine what to answer."""
    return {"chat_template_kwargs": {"fake": fake}}
