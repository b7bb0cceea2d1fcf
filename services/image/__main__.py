"""The process of the image service: `python -m gpt_server.services.image --config FILE [--check]`."""

import grpc

from gpt_server.common.v1 import model_pb2
from gpt_server.image.v1 import image_service_pb2, image_service_pb2_grpc
from gpt_server.services.common.engines import engine_config
from gpt_server.services.common.main import main
from gpt_server.services.common.models import Models
from gpt_server.services.common.service import Modality
from gpt_server.services.image.engine import ImageEngine
from gpt_server.services.image.engines import ENGINES
from gpt_server.services.image.servicer import ImageServicer


def _add_servicer(models: Models[ImageEngine], server: grpc.aio.Server) -> None:
    image_service_pb2_grpc.add_ImageServiceServicer_to_server(ImageServicer(models), server)


MODALITY: Modality[ImageEngine] = Modality(
    service_name=image_service_pb2.DESCRIPTOR.services_by_name["ImageService"].full_name,
    kind=model_pb2.MODEL_KIND_IMAGE,
    engines=ENGINES,
    engine_config=engine_config,
    add_servicer=_add_servicer,
)

if __name__ == "__main__":
    main(MODALITY)
