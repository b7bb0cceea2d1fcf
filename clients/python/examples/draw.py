"""Draws a picture: draw.py ADDRESS MODEL TEXT FILE."""

import sys
from pathlib import Path

from gpt_server.client import connect
from gpt_server.image.v1.image_service_pb2 import GenerateRequest, Options

address, model, text, file = sys.argv[1:]
request = GenerateRequest(model=model, prompt=text, options=Options(seed=1))


def show(step: int, steps: int) -> None:
    """Called after each step."""
    print(f"step {step} of {steps}")


with connect(address) as client:
    (image,) = client.generate_image(request, on_progress=show, timeout_s=120)
Path(file).write_bytes(image.content)
print(f"{image.header.width_px} × {image.header.height_px}, seed {image.header.seed}")
