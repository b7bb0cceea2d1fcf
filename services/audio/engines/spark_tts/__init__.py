"""Speech by Spark-TTS: a language model that speaks in tokens, and a codec (BiCodec) that makes sound of them."""

from gpt_server.services.audio.engines.spark_tts.engine import SparkTTSEngine

__all__ = ["SparkTTSEngine"]
