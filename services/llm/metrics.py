"""Metrics of text generation: time to the first token, time between messages, tokens."""

import time

from gpt_server.services.common import telemetry
from gpt_server.services.llm.engine import Output

TTFT = telemetry.histogram(
    "gpt_server_time_to_first_token_seconds", "Time from arrival to the first output (TTFT).", "model", "engine"
)
ITL = telemetry.histogram(
    "gpt_server_inter_token_seconds", "Time between two outputs of a stream (ITL).", "model", "engine"
)
PROMPT_TOKENS = telemetry.counter(
    "gpt_server_prompt_tokens_total", "Tokens of prompts, of requests that finished.", "model", "engine"
)
COMPLETION_TOKENS = telemetry.counter(
    "gpt_server_completion_tokens_total", "Tokens sampled, of requests that finished.", "model", "engine"
)
CACHED_TOKENS = telemetry.counter(
    "gpt_server_cached_tokens_total", "Tokens of those prompts that the engine had in its cache.", "model", "engine"
)


class StreamMetrics:
    """Measures one stream. Make it when the engine takes the request up.

    Attributes:
        queue_s: time from arrival to that moment, in seconds.
    """

    def __init__(self, model: str, engine: str, arrived_s: float) -> None:
        self._labels = (model, engine)
        self._arrived_s = arrived_s
        self._last_s = 0.0
        self._itl = ITL.labels(model, engine)
        self.queue_s = time.monotonic() - arrived_s
        telemetry.QUEUE_SECONDS.labels(model, engine).observe(self.queue_s)

    def observe(self, output: Output) -> None:
        """Counts one output."""
        now_s = time.monotonic()
        if self._last_s:
            self._itl.observe(now_s - self._last_s)
        else:
            TTFT.labels(*self._labels).observe(now_s - self._arrived_s)
        self._last_s = now_s
        if output.finished:
            PROMPT_TOKENS.labels(*self._labels).inc(output.finished.usage.prompt_tokens)
            CACHED_TOKENS.labels(*self._labels).inc(output.finished.usage.cached_tokens or 0)
            COMPLETION_TOKENS.labels(*self._labels).inc(output.finished.usage.completion_tokens)
