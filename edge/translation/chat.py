"""Messages, tools and tool choices of OpenAI's API -> `gpt_server.llm.v1.Chat`."""

import orjson

from gpt_server.common.v1 import media_pb2
from gpt_server.edge.errors import ApiError
from gpt_server.edge.media import MediaLoader
from gpt_server.edge.schemas.chat import ContentPart, Conversation, Message
from gpt_server.edge.schemas.tools import Function, FunctionCall, ToolChoice
from gpt_server.llm.v1 import chat_pb2

MAX_MEDIA_BYTES = 60 * 1024 * 1024  # a request message holds 64 MiB, its texts included

AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}
DETAILS = {
    "low": media_pb2.IMAGE_DETAIL_LOW,
    "high": media_pb2.IMAGE_DETAIL_HIGH,
    "original": media_pb2.IMAGE_DETAIL_HIGH,
}


async def fill_conversation(chat: chat_pb2.Chat, body: Conversation, media: MediaLoader) -> None:
    """Puts messages, tools and template arguments into `chat`.

    Raises:
        ApiError: INVALID_MEDIA: a part cannot be loaded; PAYLOAD_TOO_LARGE: all parts together are too large.
    """
    media_bytes, call_id = 0, ""
    for i, message in enumerate(body.messages):
        turn = chat.messages.add()
        _fill_message(turn, message)
        # A call of the deprecated form has no id; a result belongs to the last one.
        call_id = f"call_{i}" if message.function_call else call_id
        _fill_function(turn, message, call_id)
        for j, part in enumerate(message.content):
            turn.content.append(await _part(part, media, f"messages[{i}].content[{j}]"))
            media_bytes += turn.content[-1].ByteSize()
            if media_bytes > MAX_MEDIA_BYTES:
                raise ApiError("PAYLOAD_TOO_LARGE", f"All content together is over {MAX_MEDIA_BYTES} bytes.")
    chat.tools.extend(map(_tool, body.offered))
    documents = {} if body.documents is None else {"documents": body.documents}
    if arguments := documents | (body.chat_template_kwargs or {}):
        chat.template_args_json = orjson.dumps(arguments).decode()


def fill_tool_choice(choice: chat_pb2.ToolChoice, wanted: ToolChoice) -> None:
    """Puts OpenAI's tool choice into `choice`."""
    mode = wanted.type
    if wanted.function is not None:
        mode, names = "required", [wanted.function.name]
    elif wanted.allowed_tools is not None:
        mode, names = wanted.allowed_tools.mode, [tool.function.name for tool in wanted.allowed_tools.tools]
    else:
        names = []
    choice.mode = chat_pb2.ToolChoiceMode.Value(f"TOOL_CHOICE_MODE_{mode.upper()}")
    choice.allowed_tools.extend(names)


def fill_function_call(choice: chat_pb2.ToolChoice, wanted: FunctionCall) -> None:
    """Puts a choice of OpenAI's deprecated form into `choice`."""
    mode = "required" if wanted.mode is None else wanted.mode
    choice.mode = chat_pb2.ToolChoiceMode.Value(f"TOOL_CHOICE_MODE_{mode.upper()}")
    if wanted.name is not None:
        choice.allowed_tools.append(wanted.name)


def _fill_message(turn: chat_pb2.Message, message: Message) -> None:
    role = "tool" if message.role == "function" else message.role
    turn.role = chat_pb2.Role.Value(f"ROLE_{role.upper()}")
    turn.name = message.name
    turn.tool_call_id = message.tool_call_id
    turn.reasoning = message.reasoning or message.reasoning_content
    if message.refusal:
        turn.content.add(text=message.refusal)
    for call in message.tool_calls:
        turn.tool_calls.add(id=call.id, name=call.function.name, arguments=call.function.arguments)


def _fill_function(turn: chat_pb2.Message, message: Message, call_id: str) -> None:
    if message.role == "function":
        turn.tool_call_id = call_id
    if (call := message.function_call) is not None:
        turn.tool_calls.add(id=call_id, name=call.name, arguments=call.arguments)


async def _part(part: ContentPart, media: MediaLoader, param: str) -> media_pb2.Part:
    if part.image_url is not None:
        content = await media.load(part.image_url.url, "image", f"{param}.image_url.url")
        image = media_pb2.Image(media=content, detail=DETAILS.get(part.image_url.detail))
        return media_pb2.Part(image=image)
    if part.input_audio is not None:
        audio_type = AUDIO_TYPES[part.input_audio.format]
        return media_pb2.Part(audio=media.decode(part.input_audio.data, audio_type, f"{param}.input_audio.data"))
    if part.file is not None and (text := part.file.file_data) is not None:
        where = f"{param}.file.file_data"
        inline = text[:5].lower() == "data:"
        document = await media.load(text, "", where) if inline else media.decode(text, "", where)
        document.filename = part.file.filename
        return media_pb2.Part(file=document)
    return media_pb2.Part(text=part.text or part.refusal or "")


def _tool(function: Function) -> chat_pb2.Tool:
    schema = "" if function.parameters is None else orjson.dumps(function.parameters).decode()
    return chat_pb2.Tool(
        name=function.name, description=function.description, parameters=schema, strict=function.strict
    )
