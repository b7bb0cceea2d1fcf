"""The official openai SDK. Lines 2 and 3 run the same program."""

import base64
import os
from typing import Any

from openai import OpenAI
from openai.types.chat import ChatCompletion

from tests.clients.programs.serving import SUNNY, WEATHER, Person, Reply, Request, raised, serve


def client_of(request: Request) -> OpenAI:
    """Returns a client as the request wants it; the address is in the environment, as the SDK has it."""
    return OpenAI(
        api_key=request.get("key", os.environ["OPENAI_API_KEY"]),
        max_retries=request.get("retries", 0),
        timeout=request.get("timeout_s", 60),
        _strict_response_validation=True,
    )


def fields(request: Request) -> dict[str, Any]:
    """Returns the arguments of a call."""
    tools = {"tools": [WEATHER]} if request.get("tools") else {}
    messages = [{"role": "user", "content": request["say"]}]
    extra = {"extra_body": request.get("extra"), "extra_headers": request.get("headers")}
    return {"model": request["model"], "messages": messages, **tools, **extra, **request.get("options", {})}


def shown(answer: ChatCompletion) -> Reply:
    """Returns what the tests look at."""
    choices = [
        {
            "text": choice.message.content,
            "reasoning": getattr(choice.message, "reasoning_content", None),
            "finish_reason": choice.finish_reason,
            "calls": [
                {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
                for call in choice.message.tool_calls or ()
                if call.type == "function"
            ],
            "tokens": [score.token for score in (choice.logprobs and choice.logprobs.content) or ()],
        }
        for choice in answer.choices
    ]
    usage = answer.usage
    return {"choices": choices, "usage": usage and [usage.prompt_tokens, usage.completion_tokens]}


def chat(request: Request) -> Reply:
    """Asks for a whole answer."""
    return shown(client_of(request).chat.completions.create(**fields(request)))


def stream(request: Request) -> Reply:
    """Asks for a stream; the SDK's own helper joins it."""
    pieces: list[str] = []
    completions = client_of(request).chat.completions
    try:
        with completions.stream(**fields(request), stream_options={"include_usage": True}) as events:
            for event in events:
                if event.type == "content.delta":
                    pieces.append(event.delta)
            answer = events.get_final_completion()
    except Exception as error:
        return raised(error, "".join(pieces))
    return shown(answer) | {"pieces": len(pieces)}


def use_tool(request: Request) -> Reply:
    """Asks, answers the call that comes, and asks again."""
    client, arguments = client_of(request), fields(request)
    message = client.chat.completions.create(**arguments).choices[0].message
    assert message.tool_calls
    arguments["messages"] += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": SUNNY}]
    return shown(client.chat.completions.create(**arguments))


def parse(request: Request) -> Reply:
    """Asks for an answer in a form."""
    answer = client_of(request).chat.completions.parse(**fields(request), response_format=Person)
    person = answer.choices[0].message.parsed
    assert person
    return {"parsed": person.model_dump()}


def models(request: Request) -> Reply:
    """Lists all models, and retrieves one."""
    client = client_of(request)
    return {"listed": [model.id for model in client.models.list()], "one": client.models.retrieve(request["model"]).id}


def embed(request: Request) -> Reply:
    """Asks for vectors; `options` may say in which encoding, else it is the SDK's choice."""
    options = request.get("options") or {}
    client = _lenient_client()  # base64 would be held against the schema, before it is read
    answer = client.embeddings.create(model=request["model"], input=request["texts"], **options)
    return {"vectors": [list(row.embedding) for row in answer.data], "tokens": answer.usage.prompt_tokens}


def _lenient_client() -> OpenAI:
    """Returns a client as users have it: its schema knows OpenAI's own sizes, and tokens as usage of streams, alone."""
    client = client_of({})
    client._strict_response_validation = False
    return client


def speak(request: Request) -> Reply:
    """Speaks a text, writes down what was said, whole and as a stream."""
    client = _lenient_client()
    voice: dict[str, Any] = {"model": request["voice"], "voice": "alloy", "response_format": "wav"}
    sound = client.audio.speech.create(input=request["say"], **voice).content
    asked: dict[str, Any] = {"model": request["ear"], "file": ("speech.wav", sound)}
    text = client.audio.transcriptions.create(**asked).text
    events = list(client.audio.transcriptions.create(**asked, stream=True))
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    return {"sound": base64.b64encode(sound).decode(), "text": text, "deltas": deltas, "done": events[-1].text}


def draw(request: Request) -> Reply:
    """Draws a picture."""
    return _pictures(_lenient_client().images.generate(**_drawing(request)))


def draw_stream(request: Request) -> Reply:
    """Draws a picture and shows what is there before it is finished."""
    events = _lenient_client().images.generate(**_drawing(request), stream=True)
    return {"events": [[event.type, event.b64_json] for event in events]}


def edit(request: Request) -> Reply:
    """Changes a picture."""
    image = ("picture.png", base64.b64decode(request["picture"]), "image/png")
    return _pictures(_lenient_client().images.edit(image=image, **_drawing(request)))


def _drawing(request: Request) -> dict[str, Any]:
    """Returns the arguments of a call; what the SDK does not know goes beside them."""
    options = dict(request.get("options") or {})
    extra = {name: options.pop(name) for name in ("seed", "strength") if name in options}
    return {"model": request["model"], "prompt": request["say"], **options, "extra_body": extra}


def _pictures(answer: Any) -> Reply:
    return {"pictures": [picture.b64_json for picture in answer.data]}


_open: list[Any] = []


def start(request: Request) -> Reply:
    """Reads a stream up to the first text, and keeps it open."""
    chunks = client_of(request).chat.completions.create(**fields(request), stream=True)
    _open.append(chunks)
    return {"text": next(text for chunk in chunks if (text := chunk.choices[0].delta.content))}


def leave(_: Request) -> Reply:
    """Closes that stream."""
    _open.pop().close()
    return {}


if __name__ == "__main__":
    verbs = (chat, stream, use_tool, parse, models, embed, speak, draw, draw_stream, edit, start, leave)
    serve({verb.__name__: verb for verb in verbs})
