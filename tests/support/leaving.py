"""For the `conftest.py` of an engine whose library does not survive the end of the interpreter, as services do it too:
the process leaves at once when everything has been told."""

import os
import sys

import pytest

_status = [0]


def pytest_sessionfinish(exitstatus: int) -> None:
    """Keeps the exit code."""
    _status[0] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Leaves. A library's threads and destructors have crashed after the last test."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_status[0])
