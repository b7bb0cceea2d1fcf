"""Cases of the conversation, of other prompts, and of what is done with them."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gpt_server.services.llm.engine import (
    Chat,
    Image,
    ImageDetail,
    Media,
    Message,
    Part,
    TokenizeRequest,
    Tool,
    ToolCall,
    ToolChoice,
)
from tests.engines.asking import Subject, ask, greedy, request
from tests.engines.field_cases import CASES, FieldCase, Seen, case, prompt, said

PING = Tool("ping")
TOOLS = (Tool("get_time", "Tells the time.", '{"type": "object", "properties": {"city": {"type": "string"}}}'), PING)


def png() -> bytes:
    """A picture of 32 × 32 grey pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\x80" * 32) * 32)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


async def differ(subject: Subject, one: Chat, other: Chat) -> bool:
    """Whether two conversations are two prompts."""
    return await prompt(subject, request(chat=one)) != await prompt(subject, request(chat=other))


async def shown(subject: Subject, word: str, one: Chat, other: Chat) -> Seen:
    """The same, where the template knows the word."""
    differs = await differ(subject, one, other)
    return differs if word in subject.details.chat_template else None


def of_names(name: str, values: tuple[Any, Any], make: Callable[..., Chat], word: str) -> None:
    """Enters a case whose effect is that two values of one field are two prompts."""

    async def run(subject: Subject) -> Seen:
        return await shown(subject, word, make(values[0]), make(values[1]))

    CASES[name] = FieldCase(run)


def _called(call: ToolCall | None = None, of: str = "a1", **fields: Any) -> Chat:
    call = call or ToolCall("a1", "ping", "{}")
    turns = [said("user", "Hi"), Message("assistant", tool_calls=[call], **fields), said("tool", "4", tool_call_id=of)]
    return Chat(turns)


of_names("chat.messages.role", ("system", "user"), lambda role: Chat([said(role, "A"), said("user", "Hi")]), "role")
of_names("chat.messages.name", ("Ann", "Bob"), lambda name: Chat([said("user", "Hi", name=name)]), "message.name")
of_names("chat.messages.tool_call_id", ("a1", "b2"), lambda of: _called(of=of), "tool_call_id")
of_names("chat.messages.reasoning", ("One.", "Two."), lambda text: _called(reasoning=text), "reasoning")
of_names("chat.messages.tool_calls.id", ("a1", "b2"), lambda id_: _called(ToolCall(id_, "ping", "{}")), "call.id")
of_names("chat.messages.tool_calls.name", ("f", "g"), lambda name: _called(ToolCall("a1", name, "{}")), "tool_calls")
of_names(
    "chat.messages.tool_calls.arguments",
    ("{}", '{"a": 1}'),
    lambda arguments: _called(ToolCall("a1", "f", arguments)),
    "tool_calls",
)
of_names(
    "chat.tools.name", ("f", "g"), lambda name: Chat([said("user", "Hi")], tools=[Tool(name)]), "tools"
)  # of the answer's calls it is the name too: `tool_choice.allowed_tools`
of_names(
    "chat.tools.description", ("A", "B"), lambda text: Chat([said("user", "Hi")], tools=[Tool("f", text)]), "tools"
)
of_names(
    "chat.tools.parameters",
    ('{"type": "object"}', TOOLS[0].parameters),
    lambda schema: Chat([said("user", "Hi")], tools=[Tool("f", "", schema)]),
    "tools",
)
of_names(
    "chat.add_generation_prompt",
    (True, False),
    lambda opens: Chat([said("user", "Hi")], add_generation_prompt=opens),
    "add_generation_prompt",
)
of_names(
    "chat.template_args_json",
    ('{"enable_thinking": true}', '{"enable_thinking": false}'),
    lambda document: Chat([said("user", "Hi")], template_args_json=document),
    "enable_thinking",
)


@case("model")
async def _(subject: Subject) -> Seen:
    assert (await ask(subject.engine, request())).text()
    return None


@case("chat.messages.content.text")
async def _(subject: Subject) -> Seen:
    return await differ(subject, Chat([said("user", "Hi")]), Chat([said("user", "Bye")]))


async def _with_part(subject: Subject, part: Part) -> bool:
    chat = Chat([Message("user", [Part(text="What is this?"), part])])
    return await differ(subject, chat, Chat([said("user", "What is this?")]))


@case("chat.messages.content.image.media", needs="image_input")
async def _(subject: Subject) -> Seen:
    return await _with_part(subject, Part(image=Image(Media(png(), "image/png"))))


@case("chat.messages.content.image.detail", needs="image_input")
async def _(subject: Subject) -> Seen:
    details: tuple[ImageDetail, ImageDetail] = ("low", "high")
    parts = [Part(image=Image(Media(png(), "image/png"), detail)) for detail in details]
    chats = [Chat([Message("user", [Part(text="What is this?"), part])]) for part in parts]
    return await differ(subject, *chats)


@case("chat.messages.content.audio", needs="audio_input")
async def _(subject: Subject) -> Seen:
    return await _with_part(subject, Part(audio=Media(b"RIFF", "audio/wav")))


@case("chat.messages.content.file")
async def _(subject: Subject) -> Seen:
    return await _with_part(subject, Part(file=Media(b"%PDF", "application/pdf")))


@case("chat.tools.strict")
async def _(subject: Subject) -> Seen:
    strict = replace(TOOLS[0], strict=True)
    await ask(subject.engine, request(sampling=greedy(4), tools=(strict,)))
    return None


async def _calls(subject: Subject, choice: ToolChoice) -> list[tuple[str, str]]:
    wanted = request(sampling=greedy(80), tools=TOOLS, tool_choice=choice, parallel_tool_calls=False)
    return (await ask(subject.engine, wanted)).calls()


@case("chat.tool_choice.mode", needs="tools")
async def _(subject: Subject) -> Seen:
    return bool(await _calls(subject, ToolChoice("required"))) and not await _calls(subject, ToolChoice("none"))


@case("chat.tool_choice.allowed_tools", needs="tools")
async def _(subject: Subject) -> Seen:
    return [name for name, _ in await _calls(subject, ToolChoice("required", ["ping"]))] == ["ping"]


@case("chat.parallel_tool_calls", needs="tools")
async def _(subject: Subject) -> Seen:
    return len(await _calls(subject, ToolChoice("required"))) == 1


@case("chat.continue_final_message")
async def _(subject: Subject) -> Seen:
    chat = Chat([said("user", "Who are you?"), said("assistant", "I am")], continue_final_message=True)
    return (await subject.engine.detokenize(await prompt(subject, request(chat=chat)))).endswith("I am")


# Other prompts, and what is done with them.


@case("text")
async def _(subject: Subject) -> Seen:
    tokens = await subject.engine.tokenize(TokenizeRequest("test", text="Hello there"))
    return await prompt(subject, request(text="Hello there")) == list(tokens.token_ids)


@case("token_ids")
async def _(subject: Subject) -> Seen:
    tokens = (await subject.engine.tokenize(TokenizeRequest("test", text="Hello there"))).token_ids
    return (await ask(subject.engine, request(token_ids=tokens))).prompt_token_ids == list(tokens)


@case("add_special_tokens")
async def _(subject: Subject) -> Seen:
    with_, without = [
        await prompt(subject, request(text="Hello", add_special_tokens=special)) for special in (True, False)
    ]
    # A tokeniser without such tokens has nothing to add.
    return True if len(with_) > len(without) else None


@case("truncate_prompt_tokens")
async def _(subject: Subject) -> Seen:
    whole = await prompt(subject, request(text="one two three four five six"))
    cut = await prompt(subject, request(text="one two three four five six", truncate_prompt_tokens=3))
    return cut == whole[-3:]


@case("cache_salt")
async def _(subject: Subject) -> Seen:
    assert (await ask(subject.engine, request(cache_salt="a secret"))).text()
    return None


@case("priority")
async def _(subject: Subject) -> Seen:
    assert (await ask(subject.engine, request(priority=-3))).text()
    return None


@case("return_token_ids")
async def _(subject: Subject) -> Seen:
    answers = [await ask(subject.engine, request(return_token_ids=wanted)) for wanted in (True, False)]
    return [bool(answer.token_ids()) for answer in answers] == [True, False]
