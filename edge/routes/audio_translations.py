"""POST /v1/audio/translations: OpenAI's translations to English over `AudioService.Transcribe`."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.edge.listening import answer
from gpt_server.edge.schemas.audio import TranslationRequest
from gpt_server.edge.tasks import while_connected
from gpt_server.edge.uploads import UploadRoute

router = APIRouter(route_class=UploadRoute, tags=["audio"])


@router.post("/v1/audio/translations", response_class=Response)
async def create_translation(body: TranslationRequest, request: Request) -> Response:
    """Writes down in English what is said in another language. Send a multipart form, or JSON."""
    return await while_connected(request.receive, answer(body, request, "translate"))
