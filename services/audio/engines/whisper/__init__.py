"""Speech recognition and translation by Whisper models, through transformers."""

from gpt_server.services.audio.engines.whisper.engine import WhisperEngine

__all__ = ["WhisperEngine"]
