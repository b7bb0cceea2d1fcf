"""`gpt_server.common.v1.ModelService`: what this replica serves and how busy it is."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from gpt_server.common.v1 import model_service_pb2 as pb
from gpt_server.common.v1 import model_service_pb2_grpc
from gpt_server.services.common.models import Models

PERIOD_S = 1.0


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):
    """Answers `Watch` from the models of the process."""

    def __init__(self, models: Models[Any]) -> None:
        self._models = models
        self._version = version("gpt-server")
        self._closed = False

    async def Watch(self, request: pb.WatchRequest, context: Any) -> AsyncGenerator[pb.WatchResponse, None]:
        """Yields the whole picture: at once, when a state changes, every second, and when the process stops."""
        while True:
            changed, closed = self._models.changes.next, self._closed
            statuses = [status for model in self._models for status in model.statuses()]
            yield pb.WatchResponse(replica=self._models.replica, version=self._version, models=statuses)
            if closed:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_S):
                    await changed.wait()

    def close(self) -> None:
        """Ends all streams with `OK`: the process stops."""
        self._closed = True
        self._models.changes.notify()
