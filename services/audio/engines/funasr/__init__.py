"""Speech recognition by FunASR: SenseVoice, Paraformer, and what else the library loads."""

from gpt_server.services.audio.engines.funasr.engine import FunASREngine

__all__ = ["FunASREngine"]
