"""How much each API key may do: requests and tokens per minute, requests at the same time, models; per edge."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from gpt_server.edge.config import KeyLimits
from gpt_server.edge.errors import ApiError
from gpt_server.edge.telemetry import Exchange

OTHERS = "*"
"""Stands for the keys that are not named. Each of them has these limits for itself."""

Headers = list[tuple[bytes, bytes]]


class Bucket:
    """So many a minute: a minute's worth at once, and then as fast as it fills up. May be overdrawn."""

    def __init__(self, per_minute: int, now_s: float) -> None:
        self.per_minute = per_minute
        self._left = float(per_minute)
        self._at_s = now_s

    def left(self, now_s: float) -> float:
        """Returns what is in it."""
        self._left = min(self.per_minute, self._left + (now_s - self._at_s) * self.per_minute / 60)
        self._at_s = now_s
        return self._left

    def take(self, amount: float, now_s: float) -> None:
        """Takes something out."""
        self._left = self.left(now_s) - amount

    def wait_s(self, level: float, now_s: float) -> float:
        """Returns how long it takes until so much is in it; 0 if it is."""
        return max(0.0, (level - self.left(now_s)) * 60 / self.per_minute)


class Account:
    """What one key has used."""

    def __init__(self, key_name: str, limits: KeyLimits, clock: Callable[[], float]) -> None:
        self._key_name = key_name
        self._most = limits.max_concurrent
        self._clock = clock
        self._running = 0
        rates = {"requests": limits.requests_per_minute, "tokens": limits.tokens_per_minute}
        self._buckets = {name: Bucket(rate, clock()) for name, rate in rates.items() if rate}

    @contextmanager
    def request(self, exchange: Exchange) -> Iterator[None]:
        """Takes a request in while the context is open; its tokens are known, and counted, at the end.

        Raises:
            ApiError: RATE_LIMIT_EXCEEDED.
        """
        now_s = self._clock()
        if self._most and self._running >= self._most:
            raise self._refusal(f"{self._most} requests at the same time", 1.0)
        for name, bucket in self._buckets.items():
            if (wait_s := bucket.wait_s(1, now_s)) > 0:
                raise self._refusal(f"{bucket.per_minute} {name} per minute", wait_s)
        self._take("requests", 1)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._take("tokens", exchange.prompt_tokens + exchange.completion_tokens)

    def headers(self) -> Headers:
        """Returns what OpenAI's headers say: the limits, what is left, and when all of it is there again."""
        now_s = self._clock()
        said: dict[str, str] = {}
        for name, bucket in self._buckets.items():
            said[f"x-ratelimit-limit-{name}"] = str(bucket.per_minute)
            said[f"x-ratelimit-remaining-{name}"] = str(max(0, int(bucket.left(now_s))))
            said[f"x-ratelimit-reset-{name}"] = f"{bucket.wait_s(bucket.per_minute, now_s):.3f}s"
        return [(name.encode(), value.encode()) for name, value in said.items()]

    def _take(self, name: str, amount: float) -> None:
        if bucket := self._buckets.get(name):
            bucket.take(amount, self._clock())

    def _refusal(self, limit: str, wait_s: float) -> ApiError:
        message = f"The API key `{self._key_name}` has reached its limit of {limit}. Try again in {wait_s:.0f} s."
        return ApiError("RATE_LIMIT_EXCEEDED", message, retry_after_s=wait_s)


class Limits:
    """The limits of all keys, by their names. `clock`: seconds, only forward."""

    def __init__(self, limits: Mapping[str, KeyLimits], clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._accounts: dict[str, Account] = {}

    def account(self, key_name: str) -> Account | None:
        """Returns what a key has used; `None` if it has no limits."""
        if (limits := self._of(key_name)) is None:
            return None
        if key_name not in self._accounts:
            self._accounts[key_name] = Account(key_name, limits, self._clock)
        return self._accounts[key_name]

    def allows(self, key_name: str, model: str) -> bool:
        """Whether a key may ask for a model."""
        limits = self._of(key_name)
        return limits is None or limits.models is None or model in limits.models

    def check_model(self, key_name: str, model: str) -> None:
        """Raises `ApiError` MODEL_NOT_ALLOWED if a key may not ask for a model."""
        if not self.allows(key_name, model):
            message = f"The API key `{key_name}` may not use the model `{model[:256]}`."
            raise ApiError("MODEL_NOT_ALLOWED", message, param="model")

    def _of(self, key_name: str) -> KeyLimits | None:
        return self._limits.get(key_name) or self._limits.get(OTHERS)
