"""The process of the LLM service: `python -m gpt_server.services.llm --config FILE [--check]`."""

import grpc

from gpt_server.common.v1 import model_pb2
from gpt_server.llm.v1 import llm_service_pb2, llm_service_pb2_grpc
from gpt_server.services.common.engines import engine_config
from gpt_server.services.common.main import main
from gpt_server.services.common.models import Models
from gpt_server.services.common.service import Modality
from gpt_server.services.llm.engine import LLMEngine
from gpt_server.services.llm.engines import ENGINES
from gpt_server.services.llm.servicer import LLMServicer


def _add_servicer(models: Models[LLMEngine], server: grpc.aio.Server) -> None:
    llm_service_pb2_grpc.add_LLMServiceServicer_to_server(LLMServicer(models), server)


MODALITY: Modality[LLMEngine] = Modality(
    service_name=llm_service_pb2.DESCRIPTOR.services_by_name["LLMService"].full_name,
    kind=model_pb2.MODEL_KIND_LLM,
    engines=ENGINES,
    engine_config=engine_config,
    add_servicer=_add_servicer,
    loads_adapters=True,
)

if __name__ == "__main__":
    main(MODALITY)
