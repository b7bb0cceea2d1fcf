"""Keeps requests off a replica that answers none of them, though it says that it is well."""

FAILURES = 5
"""So many failures, one after the other, and it is left alone."""
PAUSE_S = (1.0, 30.0)
"""For how long, at first and at most; each failed attempt doubles it."""


class Breaker:
    """Closed, open, or half open: after each pause one request is let through, whose end decides.

    Times are those of any clock that only goes forward, in seconds.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._pause_s = PAUSE_S[0]
        self._closed_from_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the last requests have failed."""
        return self._failures >= FAILURES

    def allows(self, now_s: float) -> bool:
        """Whether a request may be sent."""
        return not self.is_open or now_s >= self._closed_from_s

    def sent(self, now_s: float) -> None:
        """Notes a request; when half open, the next has to wait for its end, or for another pause."""
        if self.is_open:
            self._closed_from_s = now_s + self._pause_s

    def succeeded(self) -> None:
        """Notes that a request was answered."""
        self._failures, self._pause_s = 0, PAUSE_S[0]

    def failed(self, now_s: float) -> None:
        """Notes that a request was not."""
        if self.is_open:
            self._pause_s = min(self._pause_s * 2, PAUSE_S[1])
        self._failures += 1
        if self.is_open:
            self._closed_from_s = now_s + self._pause_s
