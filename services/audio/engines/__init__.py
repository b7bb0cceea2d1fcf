"""Engines by name. A module is imported only when its engine is chosen: libraries are heavy, or not installed."""

from collections.abc import Mapping

ENGINES: Mapping[str, str] = {
    "pocketsphinx": "gpt_server.services.audio.engines.pocketsphinx:PocketsphinxEngine",
    "espeak": "gpt_server.services.audio.engines.espeak:EspeakEngine",
    "fake": "gpt_server.services.audio.engines.fake:FakeEngine",
    "funasr": "gpt_server.services.audio.engines.funasr:FunASREngine",
    "spark_tts": "gpt_server.services.audio.engines.spark_tts:SparkTTSEngine",
    "vllm_omni": "gpt_server.services.audio.engines.vllm_omni:VLLMOmniEngine",
    "whisper": "gpt_server.services.audio.engines.whisper:WhisperEngine",
}
