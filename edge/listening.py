"""What transcriptions and translations share: a sound goes to a service, a transcript comes back."""

from contextlib import ExitStack
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from gpt_server.audio.v1 import transcription_pb2 as pb
from gpt_server.edge.audio import Transcribing, Transcript, collect
from gpt_server.edge.calls import call_options
from gpt_server.edge.context import edge_of, exchange_of
from gpt_server.edge.errors import ApiError
from gpt_server.edge.schemas.audio import ListeningBody, TranscriptionRequest
from gpt_server.edge.sse import EventStream, Write
from gpt_server.edge.telemetry import Exchange
from gpt_server.edge.translation.audio import sound_of, transcribe_config
from gpt_server.edge.wire.audio import event, heard, stream_usage, transcription
from gpt_server.edge.wire.common import DONE

TASKS = {
    "transcribe": pb.TRANSCRIPTION_TASK_TRANSCRIBE,
    "translate": pb.TRANSCRIPTION_TASK_TRANSLATE,
}


async def answer(body: ListeningBody, request: Request, task: str) -> Response:
    """Returns a transcript, whole or as it comes."""
    edge, exchange, options = edge_of(request), exchange_of(request.scope), call_options(request, body)
    edge.began(exchange, body.model)
    sound = sound_of(body, edge.media)
    if not sound.size_bytes:
        raise ApiError("INVALID_MEDIA", "Invalid media in 'file': it is empty.", param="file")
    call = Transcribing(edge, exchange, transcribe_config(body, TASKS[task]), sound, options)
    with ExitStack() as cleanup:
        cleanup.callback(call.close)
        await call.start()
        if isinstance(body, TranscriptionRequest) and body.stream:
            return EventStream(
                partial(_write_stream, call, body, exchange),
                cleanup.pop_all().close,
                keep_alive_s=edge.settings.sse_keep_alive_s,
                limit_s=options.left_s,
            )
        transcript = await collect(call)
    exchange.use([transcript.finished.usage])
    return transcription(body, task, transcript)


async def _write_stream(call: Transcribing, body: TranscriptionRequest, exchange: Exchange, write: Write) -> None:
    transcript = Transcript()
    async for message in call.messages():
        await write(heard(body, message, len(transcript.segments)))
        transcript.segments.extend(message.segments)
        if message.HasField("finished"):
            exchange.use([message.finished.usage])
            done = event("transcript.text.done", text=transcript.text, **stream_usage(message.finished))
            await write(done + DONE)
