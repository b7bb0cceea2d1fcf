"""LangChain, with langchain-openai."""

import os
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

from tests.clients.programs.serving import SUNNY, WEATHER, Person, Reply, Request, raised, serve


def model_of(request: Request) -> ChatOpenAI:
    """Returns the model as the request wants it."""
    return ChatOpenAI(
        model=request["model"],
        base_url=os.environ["OPENAI_BASE_URL"],
        api_key=request.get("key", os.environ["OPENAI_API_KEY"]),
        max_retries=request.get("retries", 0),
        timeout=request.get("timeout_s", 60),
        stream_usage=True,
        extra_body=request.get("extra"),
        default_headers=request.get("headers"),
        **request.get("options", {}),
    )


def with_tools(request: Request) -> Any:
    """Returns the same, tools bound if the request wants them."""
    return model_of(request).bind_tools([WEATHER]) if request.get("tools") else model_of(request)


def shown(*messages: AIMessage) -> Reply:
    """Returns what the tests look at. LangChain itself has read the arguments of calls."""
    choices = [
        {
            "text": message.text,
            "reasoning": message.additional_kwargs.get("reasoning_content"),
            "finish_reason": message.response_metadata.get("finish_reason"),
            "calls": [
                {"id": call["id"], "name": call["name"], "arguments": call["args"]} for call in message.tool_calls
            ],
            "tokens": [
                score["token"] for score in (message.response_metadata.get("logprobs") or {}).get("content", ())
            ],
        }
        for message in messages
    ]
    usage = messages[0].usage_metadata
    return {"choices": choices, "usage": usage and [usage["input_tokens"], usage["output_tokens"]]}


def chat(request: Request) -> Reply:
    """Asks for a whole answer; for several if `n` says so."""
    question = [HumanMessage(request["say"])]
    if "n" in request.get("options", {}):
        (generations,) = model_of(request).generate([question]).generations
        return shown(*(generation.message for generation in generations))
    return shown(with_tools(request).invoke(question))


def stream(request: Request) -> Reply:
    """Asks for a stream; chunks are joined with `+`."""
    chunks: list[Any] = []
    try:
        for chunk in with_tools(request).stream(request["say"]):
            chunks.append(chunk)
    except Exception as error:
        return raised(error, "".join(chunk.text for chunk in chunks))
    return shown(sum(chunks[1:], chunks[0])) | {"pieces": sum(bool(chunk.text) for chunk in chunks)}


def use_tool(request: Request) -> Reply:
    """Asks, answers the call that comes, and asks again."""
    model, question = with_tools(request), HumanMessage(request["say"])
    message = model.invoke([question])
    result = ToolMessage(SUNNY, tool_call_id=message.tool_calls[0]["id"])
    return shown(model.invoke([question, message, result]))


def parse(request: Request) -> Reply:
    """Asks for an answer in a form."""
    return {"parsed": model_of(request).with_structured_output(Person).invoke(request["say"]).model_dump()}


_open: list[Any] = []


def start(request: Request) -> Reply:
    """Reads a stream up to the first text, and keeps it open."""
    chunks = model_of(request).stream(request["say"])
    _open.append(chunks)
    return {"text": next(chunk.text for chunk in chunks if chunk.text)}


def leave(_: Request) -> Reply:
    """Closes that stream."""
    _open.pop().close()
    return {}


if __name__ == "__main__":
    serve({f.__name__: f for f in (chat, stream, use_tool, parse, start, leave)})
