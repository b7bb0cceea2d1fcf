"""Whether the edge is well: GET /health, /readyz and /version for everyone, the admin port's pages for the operator."""

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gpt_server.edge.context import Edge, edge_of

router = APIRouter(tags=["health"])


@router.get("/health")
async def health() -> dict[str, Any]:
    """Says that the process is alive."""
    return {"status": "ok"}


@router.get("/readyz")
async def ready(request: Request) -> JSONResponse:
    """Says whether requests may come; with `?models=all`, also whether every expected model is ready."""
    return _readiness(edge_of(request), every_model=request.query_params.get("models") == "all")


@router.get("/version")
async def show_version() -> dict[str, str]:
    """Says which version runs."""
    return {"version": version("gpt-server")}


def admin_app(edge: Edge) -> Starlette:
    """Returns the application of the admin port: /livez, /readyz and /metrics."""

    async def livez(request: Request) -> Response:
        return JSONResponse({"status": "ok"})  # it shares the event loop with the API: a stuck one does not answer

    async def readyz(request: Request) -> Response:
        return _readiness(edge, every_model=request.query_params.get("models") == "all")

    async def metrics(request: Request) -> Response:
        edge.telemetry.show(edge.replicas)
        return Response(generate_latest(edge.telemetry.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)])


def _readiness(edge: Edge, *, every_model: bool) -> JSONResponse:
    states = edge.replicas.states()
    missing = every_model and any(states.get(name) != "ready" for name in edge.replicas.expected_models)
    ready = edge.ready and not missing
    return JSONResponse({"ready": ready, "models": states}, 200 if ready else 503)
