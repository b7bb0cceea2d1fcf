"""Writes down what is said in a file: transcribe.py ADDRESS MODEL FILE."""

import sys
from pathlib import Path

from gpt_server.audio.v1.transcription_pb2 import TranscriptionConfig
from gpt_server.client import connect

address, model, file = sys.argv[1:]
with connect(address) as client, Path(file).open("rb") as sound:
    for segment in client.transcribe(TranscriptionConfig(model=model), sound, timeout_s=60):
        print(segment.text, end="", flush=True)
print()
