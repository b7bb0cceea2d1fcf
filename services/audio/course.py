"""How one call goes: its times, for its last message and for the metrics."""

import time

from prometheus_client import Histogram

from gpt_server.services.audio import metrics
from gpt_server.services.audio.responses import Timings
from gpt_server.services.common import telemetry


class Course:
    """Make it when the engine takes the request up. `arrived_s`: when the call came, by `time.monotonic()`."""

    def __init__(self, model: str, engine: str, arrived_s: float) -> None:
        self._labels = (model, engine)
        self._began_s = time.monotonic()
        self._queue_s = self._began_s - arrived_s
        self._first_s: float | None = None
        telemetry.QUEUE_SECONDS.labels(*self._labels).observe(self._queue_s)

    def first_segment(self) -> None:
        """Notes that there is text; only the first time counts."""
        self._first(metrics.FIRST_SEGMENT_SECONDS)

    def first_audio(self) -> None:
        """Notes that there is sound; only the first time counts."""
        self._first(metrics.FIRST_AUDIO_SECONDS)

    def heard(self, duration_s: float) -> Timings:
        """Counts a transcription that has ended well, and returns its times."""
        metrics.HEARD_SECONDS.labels(*self._labels).inc(duration_s)
        return self._end()

    def spoken(self, duration_s: float) -> Timings:
        """Counts speech that has ended well, and returns its times."""
        metrics.SPOKEN_SECONDS.labels(*self._labels).inc(duration_s)
        return self._end()

    def _first(self, histogram: Histogram) -> None:
        if self._first_s is None:
            self._first_s = time.monotonic() - self._began_s
            histogram.labels(*self._labels).observe(self._first_s)

    def _end(self) -> Timings:
        total_s = time.monotonic() - self._began_s
        metrics.COMPUTE_SECONDS.labels(*self._labels).observe(total_s)
        return Timings(self._queue_s, self._first_s, total_s)
