"""The process of the audio service: `python -m gpt_server.services.audio --config FILE [--check]`."""

import grpc

from gpt_server.audio.v1 import audio_service_pb2, audio_service_pb2_grpc
from gpt_server.common.v1 import model_pb2
from gpt_server.services.audio.engine import AudioEngine
from gpt_server.services.audio.engines import ENGINES
from gpt_server.services.audio.servicer import AudioServicer
from gpt_server.services.common.engines import engine_config
from gpt_server.services.common.main import main
from gpt_server.services.common.models import Models
from gpt_server.services.common.service import Modality


def _add_servicer(models: Models[AudioEngine], server: grpc.aio.Server) -> None:
    audio_service_pb2_grpc.add_AudioServiceServicer_to_server(AudioServicer(models), server)


MODALITY: Modality[AudioEngine] = Modality(
    service_name=audio_service_pb2.DESCRIPTOR.services_by_name["AudioService"].full_name,
    kind=model_pb2.MODEL_KIND_AUDIO,
    engines=ENGINES,
    engine_config=engine_config,
    add_servicer=_add_servicer,
)

if __name__ == "__main__":
    main(MODALITY)
