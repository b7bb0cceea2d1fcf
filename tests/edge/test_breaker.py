"""When a replica is left alone, and how it comes back."""

from gpt_server.edge.breaker import FAILURES, PAUSE_S, Breaker


def opened(at_s: float = 0.0) -> Breaker:
    """A breaker that has just opened."""
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.failed(at_s)
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker.failed(0)
    breaker.succeeded()
    for _ in range(FAILURES - 1):
        breaker.failed(0)
    assert breaker.allows(0)
    breaker.failed(0)
    assert breaker.is_open
    assert not breaker.allows(0.5)


def test_half_open_it_lets_one_through() -> None:
    breaker = opened()
    assert breaker.allows(PAUSE_S[0])
    breaker.sent(PAUSE_S[0])
    assert not breaker.allows(PAUSE_S[0])
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.allows(PAUSE_S[0])


def test_a_probe_that_never_ends_is_followed_by_another() -> None:
    breaker = opened()
    breaker.sent(1)
    assert breaker.allows(1 + PAUSE_S[0])


def test_each_failed_probe_doubles_the_pause() -> None:
    breaker, now_s, pauses = opened(), 0.0, []
    for _ in range(8):
        pauses.append(next(pause for pause in range(1, 64) if breaker.allows(now_s + pause)))
        now_s += pauses[-1]
        breaker.sent(now_s)
        breaker.failed(now_s)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
