"""POST /v1/audio/speech: OpenAI's speech over `AudioService.Synthesize`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.audio.v1.speech_pb2 import SynthesizeResponse
from gpt_server.edge.audio import Speaking
from gpt_server.edge.bodies import JsonRoute
from gpt_server.edge.calls import call_options
from gpt_server.edge.context import edge_of, exchange_of
from gpt_server.edge.errors import ApiError
from gpt_server.edge.schemas.audio import SpeechRequest
from gpt_server.edge.sse import EventStream, Write
from gpt_server.edge.tasks import while_connected
from gpt_server.edge.telemetry import Exchange
from gpt_server.edge.translation.audio import synthesize_request
from gpt_server.edge.wire.audio import MEDIA_TYPES, speech_done, spoken
from gpt_server.edge.wire.common import DONE

router = APIRouter(route_class=JsonRoute, tags=["audio"])


class SoundStream(EventStream):
    """Sound, sent while it is made. There is no room in it for words: one that fails is cut off."""

    def late_error(self, error: ApiError) -> bytes:
        """Returns nothing."""
        return b""

    async def _stay_alive(self, write: Write) -> None:
        await asyncio.Event().wait()


@router.post("/v1/audio/speech", response_class=Response)
async def create_speech(body: SpeechRequest, request: Request) -> Response:
    """Speaks a text; the sound is sent while it is made."""
    return await while_connected(request.receive, _answer(body, request))


async def _answer(body: SpeechRequest, request: Request) -> Response:
    edge, exchange, options = edge_of(request), exchange_of(request.scope), call_options(request, body)
    edge.began(exchange, body.model)
    call = Speaking(edge, exchange, await synthesize_request(body, edge.media), options)
    with ExitStack() as cleanup:
        cleanup.callback(call.close)
        await call.start()
        messages = call.messages()
        first = await anext(messages)  # whatever goes wrong until there is sound is a plain error
        is_events = body.stream_format == "sse"
        answer = (EventStream if is_events else SoundStream)(
            partial(_write_events if is_events else _write_sound, first, messages, exchange),
            cleanup.pop_all().close,
            keep_alive_s=edge.settings.sse_keep_alive_s,
            limit_s=options.left_s,
        )
    if not is_events:
        answer.headers["content-type"] = MEDIA_TYPES[body.response_format]
    return answer


async def _write_sound(
    first: SynthesizeResponse, messages: AsyncIterator[SynthesizeResponse], exchange: Exchange, write: Write
) -> None:
    await write(first.audio)
    async for message in messages:
        await write(message.audio)
        exchange.use([message.finished.usage])


async def _write_events(
    first: SynthesizeResponse, messages: AsyncIterator[SynthesizeResponse], exchange: Exchange, write: Write
) -> None:
    await write(spoken(first.audio))
    async for message in messages:
        if message.audio:
            await write(spoken(message.audio))
        if message.HasField("finished"):
            exchange.use([message.finished.usage])
            await write(speech_done(message.finished) + DONE)
