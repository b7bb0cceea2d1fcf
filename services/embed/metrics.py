"""Metrics of vectors, scores and labels: inputs, tokens, and the forward passes that they took."""

from gpt_server.services.common import telemetry

INPUTS = telemetry.counter(
    "gpt_server_embed_inputs_total", "Inputs and pairs of requests that finished.", "model", "engine"
)
INPUT_TOKENS = telemetry.counter("gpt_server_embed_tokens_total", "Tokens of them.", "model", "engine")
COMPUTE_SECONDS = telemetry.histogram(
    "gpt_server_embed_compute_seconds",
    "From the first forward pass that an input of a request was in to the end of the last.",
    "model",
    "engine",
)
PASSES = telemetry.counter("gpt_server_embed_passes_total", "Forward passes of the service's own batching.")
