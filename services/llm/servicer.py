"""`gpt_server.llm.v1.LLMService` over any `LLMEngine`: translation, nothing else."""

import itertools
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from gpt_server.llm.v1 import llm_service_pb2 as pb
from gpt_server.llm.v1 import llm_service_pb2_grpc
from gpt_server.services.common.calls import current_call
from gpt_server.services.common.errors import InvalidField
from gpt_server.services.common.models import Models, ServedModel
from gpt_server.services.llm import checks, requests, responses
from gpt_server.services.llm.adapters import Adapters
from gpt_server.services.llm.engine import LLMEngine, ModelDetails
from gpt_server.services.llm.metrics import StreamMetrics


class LLMServicer(llm_service_pb2_grpc.LLMServiceServicer):
    """The service, over the models of the process."""

    def __init__(self, models: Models[LLMEngine]) -> None:
        self._models = models
        self._adapters = Adapters(models)
        self._numbers = itertools.count(1)

    async def Generate(self, request: pb.GenerateRequest, context: Any) -> AsyncGenerator[pb.GenerateResponse, None]:
        """Yields `Started`, what the engine yields, and `Finished` with the last of it."""
        arrived_s = time.monotonic()
        model, adapter = await self._adapters.resolve(request.model)
        wanted = requests.generate_request(request, self._request_id(), adapter)
        checks.check_generate(wanted, model.admission.max_running)
        with (
            self._adapters.using(model, adapter),
            model.admission.enter(wanted.sampling.n or 1, wanted.priority or 0) as ticket,
        ):
            prepared = await model.engine.prepare(wanted)
            yield responses.started(prepared.prompt_token_ids, bool(wanted.return_token_ids))
            await ticket.slot()
            metrics = StreamMetrics(model.key, model.engine_name, arrived_s)
            async with aclosing(model.engine.generate(prepared)) as outputs:
                async for output in outputs:
                    metrics.observe(output)
                    for response in responses.outputs(output, metrics.queue_s):
                        yield response

    async def Tokenize(self, request: pb.TokenizeRequest, context: Any) -> pb.TokenizeResponse:
        """Returns the tokens of a prompt."""
        model, _ = self._models.resolve(request.model)
        wanted = requests.tokenize_request(request)
        checks.check_tokenize(wanted)
        details: ModelDetails = model.details
        return responses.tokens(await model.engine.tokenize(wanted), details.max_context_tokens)

    async def Detokenize(self, request: pb.DetokenizeRequest, context: Any) -> pb.DetokenizeResponse:
        """Returns the text of tokens."""
        model, _ = self._models.resolve(request.model)
        checks.check_token_ids(request.token_ids, "token_ids")
        return responses.text(await model.engine.detokenize(tuple(request.token_ids)))

    async def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeResponse:
        """Returns what a model is."""
        model, adapter = self._models.resolve(request.model)
        return responses.description(model.describe(adapter), model.details)

    async def LoadAdapter(self, request: pb.LoadAdapterRequest, context: Any) -> pb.LoadAdapterResponse:
        """Loads an adapter."""
        model = self._base(request.model)
        await self._adapters.load(model, request.name, request.folder, replace=request.replace)
        return pb.LoadAdapterResponse(adapter=model.describe(request.name))

    async def UnloadAdapter(self, request: pb.UnloadAdapterRequest, context: Any) -> pb.UnloadAdapterResponse:
        """Unloads an adapter."""
        await self._adapters.unload(request.adapter)
        return pb.UnloadAdapterResponse()

    async def ListAdapters(self, request: pb.ListAdaptersRequest, context: Any) -> pb.ListAdaptersResponse:
        """Lists the adapters of a model."""
        model = self._base(request.model)
        names = sorted({*model.adapters, *self._adapters.available(model)})
        return pb.ListAdaptersResponse(
            adapters=[
                pb.Adapter(name=name, loaded=name in model.adapters, running=self._adapters.running(model, name))
                for name in names
            ]
        )

    def _base(self, name: str) -> ServedModel[LLMEngine]:
        model, adapter = self._models.resolve(name)
        if adapter is not None:
            raise InvalidField("model", f"{name[:100]!r} is an adapter; its model is {model.primary_name!r}")
        return model

    def _request_id(self) -> str:
        """The caller's request id may come twice; with a number it is unique in the process."""
        call = current_call.get()
        return f"{call.request_id if call else 'request'}-{next(self._numbers)}"
