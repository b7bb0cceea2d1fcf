"""The edge's application: the list of routes is the table of contents."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from socket import gethostname

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from gpt_server.edge.auth import DOCS_ASSETS, Authentication, keys_of
from gpt_server.edge.bodies import BodyLimit
from gpt_server.edge.channels import Channels
from gpt_server.edge.config import EdgeSettings
from gpt_server.edge.context import Edge
from gpt_server.edge.discovery import discovery_for
from gpt_server.edge.errors import ErrorDocument
from gpt_server.edge.image_files import FileStore
from gpt_server.edge.limits import Limits
from gpt_server.edge.media import MediaLoader
from gpt_server.edge.replicas import ReplicaSet
from gpt_server.edge.requests import Exchanges, answer_http_error
from gpt_server.edge.routes import (
    audio_speech,
    audio_transcriptions,
    audio_translations,
    audio_voices,
    chat_completions,
    classify,
    completions,
    embeddings,
    health,
    images_edits,
    images_files,
    images_generations,
    images_variations,
    lora_adapters,
    models,
    moderations,
    rerank,
    score,
    tokenize,
    unserved,
)
from gpt_server.edge.routing import Router
from gpt_server.edge.telemetry import Telemetry
from gpt_server.edge.tracing import Tracing


def create_app(settings: EdgeSettings) -> FastAPI:
    """Returns the application. It follows discovery from its startup to its shutdown; `app.state.edge` is its `Edge`.

    Raises:
        ValueError: the API keys cannot be read.
    """
    telemetry, tracing = Telemetry(), Tracing(settings.tracing, f"{gethostname()}-{os.getpid()}")
    replicas = ReplicaSet(Channels(settings.channel), Router(settings.routing), telemetry.chosen)
    media, files, limits = MediaLoader(settings.media), FileStore(settings.files), Limits(settings.key_limits)
    edge = Edge(settings, replicas, media, files, telemetry, limits)
    app = FastAPIOffline(  # /docs needs no other host for its scripts
        title="GPT Server",
        version=version("gpt-server"),
        lifespan=_following_discovery,
        redoc_url=None,
        static_url=DOCS_ASSETS,
        dependencies=[Depends(HTTPBearer(auto_error=False))],  # only shows /docs where a key goes; auth.py checks it
        responses={"4XX": {"model": ErrorDocument}, "5XX": {"model": ErrorDocument}},
    )
    app.state.edge, app.state.tracing = edge, tracing

    app.include_router(chat_completions.router)
    app.include_router(completions.router)
    app.include_router(embeddings.router)
    app.include_router(rerank.router)
    app.include_router(score.router)
    app.include_router(moderations.router)
    app.include_router(classify.router)
    app.include_router(audio_transcriptions.router)
    app.include_router(audio_translations.router)
    app.include_router(audio_speech.router)
    app.include_router(audio_voices.router)
    app.include_router(images_generations.router)
    app.include_router(images_edits.router)
    app.include_router(images_variations.router)
    app.include_router(images_files.router)
    app.include_router(models.router)
    app.include_router(tokenize.router)
    app.include_router(lora_adapters.router)
    app.include_router(health.router)
    app.include_router(unserved.router)

    app.add_exception_handler(HTTPException, answer_http_error)

    _add_middleware(app, edge, tracing)
    return app


def _add_middleware(app: FastAPI, edge: Edge, tracing: Tracing) -> None:
    """The last one added is the first to see a request."""
    settings = edge.settings
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, max_upload_bytes=settings.max_upload_bytes)
    app.add_middleware(Authentication, keys=keys_of(settings), limits=edge.limits)
    app.add_middleware(Exchanges, telemetry=edge.telemetry, tracing=tracing)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["x-request-id", "retry-after", "x-should-retry"],
        )


@asynccontextmanager
async def _following_discovery(app: FastAPI) -> AsyncIterator[None]:
    edge: Edge = app.state.edge
    try:
        async with edge.replicas.following(discovery_for(edge.settings)):
            yield
    finally:
        await edge.media.close()
        await asyncio.to_thread(app.state.tracing.close)
