"""Starts a child process from a process with many threads and an event loop."""

import subprocess
from collections.abc import Sequence
from typing import Any


def start_child(command: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
    """Returns a child that runs a command; blocks until it does, milliseconds.

    The event loop has the same, but uvloop forks for it, and waits until the child has become its program: a child
    that was forked beside threads may find a lock taken for ever, and then both hang. `Popen` does not fork, as long
    as it is not given a `preexec_fn`.

    Args:
        command: program and arguments.
        options: of `Popen`. None of them may be `preexec_fn`.
    """
    return subprocess.Popen(command, **options)
