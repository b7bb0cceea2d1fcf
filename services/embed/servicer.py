"""`gpt_server.embed.v1.EmbedService` over any `EmbedEngine`: translation, nothing else."""

import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from gpt_server.embed.v1 import embed_service_pb2 as pb
from gpt_server.embed.v1 import embed_service_pb2_grpc
from gpt_server.services.common import telemetry
from gpt_server.services.common.models import Models, ServedModel
from gpt_server.services.embed import checks, metrics, requests, responses
from gpt_server.services.embed.engine import Capability, EmbedEngine, Input, Pair, Task, Timings
from gpt_server.services.embed.responses import Outcome


class EmbedServicer(embed_service_pb2_grpc.EmbedServiceServicer):
    """The service, over the models of the process."""

    def __init__(self, models: Models[EmbedEngine]) -> None:
        self._models = models

    async def Embed(self, request: pb.EmbedRequest, context: Any) -> AsyncGenerator[pb.EmbedResponse, None]:
        """Yields the vectors of all inputs."""
        model = self._resolve(request.model, "embedding")
        wanted = requests.embed_request(request)
        checks.check_embed(wanted, model.details)
        task = Task(wanted.inputs, _paths("inputs", wanted.inputs), wanted.options)
        for response in responses.embedded(wanted, await _run(model, task)):
            yield response

    async def Rerank(self, request: pb.RerankRequest, context: Any) -> pb.RerankResponse:
        """Returns documents by how well they answer a query."""
        model = self._resolve(request.model, "rerank")
        wanted = requests.rerank_request(request)
        checks.check_rerank(wanted, model.details)
        pairs = [Pair(wanted.query, document) for document in wanted.documents]
        outcome = await _run(model, Task(pairs, _paths("documents", pairs), wanted.options))
        return responses.ranked(wanted, outcome, model.details)

    async def Score(self, request: pb.ScoreRequest, context: Any) -> pb.ScoreResponse:
        """Returns the scores of pairs."""
        model = self._resolve(request.model, "rerank")
        wanted = requests.score_request(request)
        checks.check_score(wanted, model.details)
        outcome = await _run(model, Task(wanted.pairs, _paths("pairs", wanted.pairs), wanted.options))
        return responses.scored(wanted, outcome, model.details)

    async def Classify(self, request: pb.ClassifyRequest, context: Any) -> pb.ClassifyResponse:
        """Returns the scores of all labels."""
        model = self._resolve(request.model, "classification")
        wanted = requests.classify_request(request)
        checks.check_classify(wanted, model.details)
        outcome = await _run(model, Task(wanted.inputs, _paths("inputs", wanted.inputs), wanted.options))
        return responses.classified(wanted, outcome, model.details)

    async def Tokenize(self, request: pb.TokenizeRequest, context: Any) -> pb.TokenizeResponse:
        """Returns the tokens of a text."""
        model, _ = self._models.resolve(request.model)
        wanted = requests.tokenize_request(request)
        checks.check_text(wanted.text)
        return responses.tokens(await model.engine.tokenize(wanted), model.details.max_context_tokens)

    async def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeResponse:
        """Returns what a model is."""
        model, adapter = self._models.resolve(request.model)
        return responses.description(model.describe(adapter), model.details)

    def _resolve(self, name: str, wanted: Capability) -> ServedModel[EmbedEngine]:
        model, _ = self._models.resolve(name)
        checks.check_kind(name, model.details, wanted)
        return model


async def _run(model: ServedModel[EmbedEngine], task: Task) -> Outcome:
    """Admits a task, computes it, and returns its rows, its tokens and where the time went."""
    arrived_s = time.monotonic()
    with model.admission.enter(priority=task.options.priority or 0) as ticket:
        prepared = await model.engine.prepare(task)
        tokenized_s = time.monotonic()
        await ticket.slot()
        waited_s = time.monotonic() - tokenized_s
        computed = await model.engine.compute(prepared)
    timings = Timings(
        queue_s=waited_s + computed.timings.queue_s,
        tokenize_s=tokenized_s - arrived_s,
        compute_s=computed.timings.compute_s,
    )
    labels = (model.key, model.engine_name)
    telemetry.QUEUE_SECONDS.labels(*labels).observe(timings.queue_s)
    metrics.COMPUTE_SECONDS.labels(*labels).observe(timings.compute_s)
    metrics.INPUTS.labels(*labels).inc(len(task.items))
    metrics.INPUT_TOKENS.labels(*labels).inc(prepared.prompt_tokens)
    return Outcome(computed.rows, prepared.prompt_tokens, timings)


def _paths(field: str, items: Sequence[Input | Pair]) -> list[str]:
    return [f"{field}[{i}]" for i in range(len(items))]
