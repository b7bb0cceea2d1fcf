"""The process of the embed service: `python -m gpt_server.services.embed --config FILE [--check]`."""

import grpc

from gpt_server.common.v1 import model_pb2
from gpt_server.embed.v1 import embed_service_pb2, embed_service_pb2_grpc
from gpt_server.services.common.engines import engine_config
from gpt_server.services.common.main import main
from gpt_server.services.common.models import Models
from gpt_server.services.common.service import Modality
from gpt_server.services.embed.engine import EmbedEngine
from gpt_server.services.embed.engines import ENGINES
from gpt_server.services.embed.servicer import EmbedServicer


def _add_servicer(models: Models[EmbedEngine], server: grpc.aio.Server) -> None:
    embed_service_pb2_grpc.add_EmbedServiceServicer_to_server(EmbedServicer(models), server)


MODALITY: Modality[EmbedEngine] = Modality(
    service_name=embed_service_pb2.DESCRIPTOR.services_by_name["EmbedService"].full_name,
    kind=model_pb2.MODEL_KIND_EMBED,
    engines=ENGINES,
    engine_config=engine_config,
    add_servicer=_add_servicer,
)

if __name__ == "__main__":
    main(MODALITY)
