"""A load: what a client sends, and what it saw. The client is a process of its own, so that its work is not counted.

A client process is asked on its command line, opens its connections, says so in a line, waits for a line, sends
everything, and answers with a line of JSON.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any

QUESTION = "Tell me about number {} and all that follows from it."


@dataclass(frozen=True, slots=True)
class Load:
    """Chat requests.

    Attributes:
        address: `host:port`.
        model: served name.
        concurrent: connections, or calls, at the same time.
        requests: in all; each connection sends the next as soon as it has its answer.
        tokens: that each answer has; another number is a failure.
        stream: whether answers are streamed.
        extra: more fields of the body.
        client: module of the client.
    """

    address: str
    model: str
    concurrent: int
    requests: int
    tokens: int
    stream: bool
    extra: Mapping[str, Any] = field(default_factory=dict)
    client: str = "bench.http_client"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the client saw. Times in seconds.

    Attributes:
        wall_s: from the first request to the last answer's end.
        tokens: of all answers.
        first_s: from each request to its first text.
        gap_s: between two arrivals of text, in all streams.
        whole_s: from each request to its answer's end.
        writes: pieces (HTTP chunks, messages) that the tokens came in.
    """

    wall_s: float
    tokens: int
    first_s: Sequence[float]
    gap_s: Sequence[float]
    whole_s: Sequence[float]
    writes: int


def percentile(values: Sequence[float], part: float) -> float:
    """Returns the value that `part` (0 to 1) of `values` do not exceed; NaN of none."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else float("nan")


def send(load: Load, measured: Callable[[], AbstractContextManager[object]]) -> Seen:
    """Runs a client; `measured()` is open from its first request to its last answer.

    Raises:
        RuntimeError: an answer was not as it should be; the client has said why.
    """
    command = [sys.executable, "-m", load.client, json.dumps(asdict(load))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdin  # noqa: S101 (asked for)
        assert client.stdout  # noqa: S101
        if client.stdout.readline():
            with measured():
                client.stdin.write("go\n")
                client.stdin.flush()
                answer = client.stdout.readline()
            if answer:
                return Seen(**json.loads(answer))
    raise RuntimeError(f"the client has failed: {load}")
