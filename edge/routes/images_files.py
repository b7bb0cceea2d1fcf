"""GET /v1/images/files/{name}: the images of requests with `response_format: url`."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.edge.context import edge_of
from gpt_server.edge.errors import ApiError

router = APIRouter(tags=["images"])


@router.get("/v1/images/files/{name}", response_class=Response)
async def image_file(name: str, request: Request) -> Response:
    """Returns an image file. Its name is all that is needed; it is there for a time."""
    content = await edge_of(request).files.get(name)
    if content is None:
        raise ApiError("UNKNOWN_URL", "There is no such image, or its time is over.")
    kind = name.rpartition(".")[2]
    headers = {"cache-control": "private, max-age=300", "x-content-type-options": "nosniff"}
    return Response(content, headers=headers, media_type=f"image/{kind}")
