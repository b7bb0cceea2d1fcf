"""Metrics of pictures: how many, how large, how long."""

from gpt_server.services.common import telemetry

IMAGES = telemetry.counter("gpt_server_image_images_total", "Images of requests that finished.", "model", "engine")
PIXELS = telemetry.counter("gpt_server_image_pixels_total", "Pixels of them.", "model", "engine")
STEPS = telemetry.counter("gpt_server_image_steps_total", "Denoising steps that were computed.", "model", "engine")
COMPUTE_SECONDS = telemetry.histogram(
    "gpt_server_image_compute_seconds",
    "Time that the passes of a request took, others' passes between them not counted.",
    "model",
    "engine",
)
