"""eSpeak NG: many languages, no weights. Its library is GPL: it runs in processes of its own, which `speak.py` is."""

from gpt_server.services.audio.engines.espeak.engine import EspeakEngine as EspeakEngine
