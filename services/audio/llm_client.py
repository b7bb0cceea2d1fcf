"""A language model that an LLM service of ours runs, for engines whose voice is one: tokens in, tokens out.

The one place in this service that opens a channel. The address comes from the configuration, never from a caller.
"""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from gpt_server.llm.v1 import llm_service_pb2 as pb
from gpt_server.llm.v1 import sampling_pb2
from gpt_server.llm.v1.llm_service_pb2_grpc import LLMServiceStub
from gpt_server.services.audio.language_model import Drawing
from gpt_server.services.common.errors import EngineUnavailable

if TYPE_CHECKING:
    from gpt_server.llm.v1.llm_service_pb2_grpc import LLMServiceAsyncStub

OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.keepalive_time_ms", 30_000), ("grpc.enable_retries", 0))


class RemoteLanguageModel:
    """One model of the service at an address, `host:port`.

    Args:
        model: the name under which it is served.
        ca_file: certificates that vouch for the service; `None`: no encryption.
    """

    def __init__(self, address: str, model: str, ca_file: str | None = None) -> None:
        if ca_file is None:
            self._channel = grpc.aio.insecure_channel(address, OPTIONS)
        else:
            credentials = grpc.ssl_channel_credentials(Path(ca_file).read_bytes())
            self._channel = grpc.aio.secure_channel(address, credentials, OPTIONS)
        self._stub: LLMServiceAsyncStub = LLMServiceStub(self._channel)
        self._model = model

    async def tokens(self, prompt: Sequence[int], drawing: Drawing) -> AsyncGenerator[Sequence[int], None]:
        """Yields the tokens after a prompt. Raises `EngineUnavailable`: the service does not answer, or refuses."""
        sampling = sampling_pb2.Sampling(
            temperature=drawing.temperature,
            top_k=drawing.top_k,
            top_p=drawing.top_p,
            max_tokens=drawing.max_tokens,
            stop_token_ids=drawing.end_ids,
            seed=drawing.seed,
        )
        request = pb.GenerateRequest(
            model=self._model, token_ids=pb.TokenIds(ids=prompt), sampling=sampling, return_token_ids=True
        )
        call = self._stub.Generate(request)
        ends = set(drawing.end_ids)
        try:
            async for response in call:
                tokens = [token for delta in response.deltas for token in delta.token_ids if token not in ends]
                if tokens:
                    yield tokens
        except grpc.aio.AioRpcError as error:
            raise EngineUnavailable(f"the language model at the address configured: {error.details()}") from error
        finally:
            call.cancel()

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close(None)
