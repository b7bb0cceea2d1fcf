"""LiteLLM as a client: its provider `openai`."""

import os
from typing import Any

import litellm

from tests.clients.programs.serving import SUNNY, WEATHER, Person, Reply, Request, raised, serve

litellm.suppress_debug_info = True


def fields(request: Request) -> dict[str, Any]:
    """Returns the arguments of a call."""
    return {
        "model": f"openai/{request['model']}",
        "api_base": os.environ["OPENAI_BASE_URL"],
        "api_key": request.get("key", os.environ["OPENAI_API_KEY"]),
        "max_retries": request.get("retries", 0),
        "timeout": request.get("timeout_s", 60),
        "messages": [{"role": "user", "content": request["say"]}],
        **({"tools": [WEATHER]} if request.get("tools") else {}),
        "extra_body": request.get("extra"),
        "extra_headers": request.get("headers"),
        **request.get("options", {}),
    }


def shown(answer: Any) -> Reply:
    """Returns what the tests look at."""
    choices = [
        {
            "text": choice.message.content,
            "reasoning": getattr(choice.message, "reasoning_content", None),
            "finish_reason": choice.finish_reason,
            "calls": [
                {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
                for call in choice.message.tool_calls or ()
            ],
            "tokens": [score["token"] for score in (getattr(choice, "logprobs", None) or {"content": []})["content"]],
        }
        for choice in answer.choices
    ]
    usage = answer.usage
    return {"choices": choices, "usage": [usage.prompt_tokens, usage.completion_tokens]}


def chat(request: Request) -> Reply:
    """Asks for a whole answer."""
    return shown(litellm.completion(**fields(request)))


def stream(request: Request) -> Reply:
    """Asks for a stream; LiteLLM's own builder joins it."""
    chunks: list[Any] = []
    try:
        for chunk in litellm.completion(**fields(request), stream=True, stream_options={"include_usage": True}):
            chunks.append(chunk)
    except Exception as error:
        return raised(error, "".join(texts(chunks)))
    return shown(litellm.stream_chunk_builder(chunks)) | {"pieces": len(texts(chunks))}


def texts(chunks: list[Any]) -> list[str]:
    """Returns the pieces of text of a stream."""
    return [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]


def use_tool(request: Request) -> Reply:
    """Asks, answers the call that comes, and asks again."""
    arguments = fields(request)
    message = litellm.completion(**arguments).choices[0].message
    arguments["messages"] += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": SUNNY}]
    return shown(litellm.completion(**arguments))


def parse(request: Request) -> Reply:
    """Asks for an answer in a form. LiteLLM sends the form; reading the answer is left to its user."""
    answer = litellm.completion(**fields(request), response_format=Person)
    return {"parsed": Person.model_validate_json(answer.choices[0].message.content).model_dump()}


_open: list[Any] = []


def start(request: Request) -> Reply:
    """Reads a stream up to the first text, and keeps it open."""
    chunks = litellm.completion(**fields(request), stream=True)
    _open.append(chunks)
    return {"text": next(text for chunk in chunks if (text := chunk.choices[0].delta.content))}


def leave(_: Request) -> Reply:
    """Closes that stream."""
    _open.pop().close()
    return {}


if __name__ == "__main__":
    serve({f.__name__: f for f in (chat, stream, use_tool, parse, start, leave)})
