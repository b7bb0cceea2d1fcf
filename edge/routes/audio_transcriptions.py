"""POST /v1/audio/transcriptions: OpenAI's transcriptions over `AudioService.Transcribe`."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.edge.listening import answer
from gpt_server.edge.schemas.audio import TranscriptionRequest
from gpt_server.edge.tasks import while_connected
from gpt_server.edge.uploads import UploadRoute

router = APIRouter(route_class=UploadRoute, tags=["audio"])


@router.post("/v1/audio/transcriptions", response_class=Response)
async def create_transcription(body: TranscriptionRequest, request: Request) -> Response:
    """Writes down what is said, whole or as a stream of server-sent events. Send a multipart form, or JSON."""
    return await while_connected(request.receive, answer(body, request, "transcribe"))
