"""`gpt_server.image.v1.ImageService` over any `ImageEngine`: translation, nothing else."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from gpt_server.image.v1 import image_service_pb2 as pb
from gpt_server.image.v1 import image_service_pb2_grpc
from gpt_server.services.common import telemetry
from gpt_server.services.common.models import Models, ServedModel
from gpt_server.services.image import checks, metrics, pictures, requests, responses, tasks
from gpt_server.services.image.engine import Finished, ImageEngine, Made, Options, Prepared, Progress, Queued, Task

R = TypeVar("R", pb.GenerateResponse, pb.EditResponse)


class ImageServicer(image_service_pb2_grpc.ImageServiceServicer):
    """The service, over the models of the process."""

    def __init__(self, models: Models[ImageEngine]) -> None:
        self._models = models

    async def Generate(self, request: pb.GenerateRequest, context: Any) -> AsyncGenerator[pb.GenerateResponse, None]:
        """Yields how images come about, and them."""
        model, adapter = self._models.resolve(request.model)
        wanted = requests.generate_request(request)
        checks.check_generate(wanted, model.details)
        events = _run(model, wanted.options, lambda: tasks.generate_task(wanted, model.details, adapter))
        async with aclosing(events):
            async for event in events:
                yield _response(pb.GenerateResponse(), event)

    async def Edit(self, request: pb.EditRequest, context: Any) -> AsyncGenerator[pb.EditResponse, None]:
        """Yields how images come about from images, and them."""
        model, adapter = self._models.resolve(request.model)
        wanted = requests.edit_request(request)
        checks.check_edit(wanted, model.details)
        events = _run(model, wanted.options, lambda: tasks.edit_task(wanted, model.details, adapter))
        async with aclosing(events):
            async for event in events:
                yield _response(pb.EditResponse(), event)

    async def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeResponse:
        """Returns what a model is."""
        model, adapter = self._models.resolve(request.model)
        return responses.description(model.describe(adapter), model.details)


FIELDS: Mapping[type, str] = {
    pb.Started: "started",
    pb.Queued: "queued",
    pb.Progress: "progress",
    pb.ImagePart: "image_part",
    pb.Finished: "finished",
}


def _response(response: R, event: responses.Event) -> R:
    getattr(response, FIELDS[type(event)]).CopyFrom(event)
    return response


async def _run(
    model: ServedModel[ImageEngine], options: Options, make_task: Callable[[], Task]
) -> AsyncGenerator[responses.Event, None]:
    """Admits a request and yields everything that happens to it."""
    arrived_s = time.monotonic()
    with model.admission.enter(priority=options.priority or 0) as ticket:
        prepared = await model.engine.prepare(await asyncio.to_thread(make_task))
        yield responses.started(prepared)
        async for position in model.admission.positions(ticket):
            yield responses.queued(position)
        writer = _Writer(prepared, options, (model.key, model.engine_name), time.monotonic() - arrived_s)
        async with aclosing(model.engine.make(prepared)) as events:
            async for event in events:
                async for response in writer.responses(event):
                    yield response


class _Writer:
    """Makes files of pictures, messages of events, and counts."""

    def __init__(self, prepared: Prepared, options: Options, labels: tuple[str, str], queue_s: float) -> None:
        self._prepared = prepared
        self._format = options.format or "png"
        self._quality = 100 if options.quality is None else options.quality
        self._labels = labels
        self._queue_s = queue_s
        self._encode_s = 0.0

    async def responses(self, event: Any) -> AsyncIterator[responses.Event]:
        """Yields the messages of an event."""
        if isinstance(event, Queued):
            yield responses.queued(event.position)
        elif isinstance(event, Progress):
            metrics.STEPS.labels(*self._labels).inc()
            yield responses.progress(event)
        elif isinstance(event, Made):
            began_s = time.monotonic()
            content = await asyncio.to_thread(pictures.write, event.picture, self._format, self._quality)
            self._encode_s += time.monotonic() - began_s
            seed = self._prepared.task.seeds[event.image]
            for part in responses.image_parts(event, content, self._format, seed):
                yield part
        else:
            yield self._finished(event)

    def _finished(self, event: Finished) -> pb.Finished:
        task = self._prepared.task
        telemetry.QUEUE_SECONDS.labels(*self._labels).observe(self._queue_s + event.timings.queue_s)
        metrics.COMPUTE_SECONDS.labels(*self._labels).observe(event.timings.compute_s)
        metrics.IMAGES.labels(*self._labels).inc(len(task.seeds))
        metrics.PIXELS.labels(*self._labels).inc(len(task.seeds) * task.width_px * task.height_px)
        return responses.finished(event, self._prepared.prompt_tokens, self._queue_s, self._encode_s)
