"""What of a `GenerateRequest` tells where it is best answered: the beginning of its prompt.

The edge has no tokenizer and no chat template; equal messages make equal prompts, so their texts will do. What comes
after the first picture or sound is not looked at.
"""

from array import array
from collections.abc import Iterator

from gpt_server.edge.routing import BLOCK_BYTES, BLOCKS_OF_PROMPT, Affinity, blocks_of
from gpt_server.llm.v1 import chat_pb2
from gpt_server.llm.v1.llm_service_pb2 import GenerateRequest

ENOUGH = BLOCK_BYTES * BLOCKS_OF_PROMPT


def affinity_of(request: GenerateRequest, key: str) -> Affinity:
    """Returns where a request is best answered. `key`: what its caller says about that, if anything."""
    if request.HasField("token_ids"):
        prompt = array("i", request.token_ids.ids[:ENOUGH]).tobytes()
    elif request.HasField("chat"):
        prompt = _beginning(request.chat)
    else:
        prompt = request.text[:ENOUGH].encode()
    return Affinity(blocks_of(prompt, f"{request.model}\n{request.cache_salt}"), key)


def _beginning(chat: chat_pb2.Chat) -> bytes:
    texts, length = [chat.template_args_json], 0
    for text in _texts(chat):
        texts.append(text)
        length += len(text)
        if length >= ENOUGH:
            break
    return "\n".join(texts).encode()


def _texts(chat: chat_pb2.Chat) -> Iterator[str]:
    """Yields what templates write, in their order: tools, then the messages."""
    for tool in chat.tools:
        yield from (tool.name, tool.description, tool.parameters)
    for message in chat.messages:
        yield f"{message.role} {message.name} {message.tool_call_id}"
        yield message.reasoning
        for part in message.content:
            if not part.HasField("text"):
                return
            yield part.text
        for call in message.tool_calls:
            yield from (call.name, call.arguments)
