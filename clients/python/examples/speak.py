"""Writes speech to a WAV file: speak.py ADDRESS MODEL TEXT FILE."""

import sys
from pathlib import Path

from gpt_server.audio.v1.speech_pb2 import AUDIO_FORMAT_WAV, SynthesizeRequest
from gpt_server.client import connect

address, model, text, file = sys.argv[1:]
request = SynthesizeRequest(model=model, input=text, format=AUDIO_FORMAT_WAV)
with connect(address) as client, Path(file).open("w+b") as sound:
    speech = client.synthesize(request, sound, timeout_s=60)
print(f"{speech.finished.duration_s:.2f} s at {speech.started.sample_rate_hz} Hz")
