"""Routes of OpenAI's API that this server does not serve yet: their 404 says so by name."""

from fastapi import APIRouter, Request

from gpt_server.edge.errors import ApiError

FAMILIES = (
    "assistants",
    "audio",
    "batches",
    "chatkit",
    "containers",
    "conversations",
    "evals",
    "files",
    "fine_tuning",
    "images",
    "organization",
    "realtime",
    "responses",
    "skills",
    "threads",
    "uploads",
    "vector_stores",
    "videos",
)
"""First parts of their paths below /v1."""

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

router = APIRouter(include_in_schema=False)


async def not_served(request: Request) -> None:
    """Raises `ApiError` ROUTE_NOT_SERVED."""
    raise ApiError(
        "ROUTE_NOT_SERVED",
        f"{request.method} {request.url.path} belongs to OpenAI's API; this server does not serve it yet.",
    )


for family in FAMILIES:
    router.add_api_route(f"/v1/{family}", not_served, methods=METHODS)
    router.add_api_route(f"/v1/{family}/{{rest:path}}", not_served, methods=METHODS)
# Stored completions, and deleting a fine-tuned model.
router.add_api_route("/v1/chat/completions", not_served, methods=["GET"])
router.add_api_route("/v1/chat/completions/{rest:path}", not_served, methods=["GET", "POST", "DELETE"])
router.add_api_route("/v1/models/{rest:path}", not_served, methods=["DELETE"])
