"""PocketSphinx: English, with the library's own model. It holds the interpreter, so `listen.py` is a child process."""

from gpt_server.services.audio.engines.pocketsphinx.engine import PocketsphinxEngine as PocketsphinxEngine
