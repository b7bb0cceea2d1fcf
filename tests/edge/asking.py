"""Request bodies, in few words."""

from typing import Any


def chat(text: str = "hello big world", *, fake: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A chat request to `fake-chat`; `fake` scripts its answer."""
    script = {} if fake is None else {"chat_template_kwargs": {"fake": fake}}
    return {"model": "fake-chat", "messages": [{"role": "user", "content": text}]} | script | fields


def completion(prompt: Any = "hello big world", **fields: Any) -> dict[str, Any]:
    """A completion request to `fake-chat`."""
    return {"model": "fake-chat", "prompt": prompt} | fields
