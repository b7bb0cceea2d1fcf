"""The log: one line a record, with the request's id, as text or as JSON."""

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest

from gpt_server.services.common.calls import Call, current_call
from gpt_server.services.common.config import LogSettings
from gpt_server.services.common.telemetry import set_up_log

log = logging.getLogger("gpt_server.test")


@pytest.fixture
def root() -> Iterator[None]:
    """Puts the log back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


async def in_a_call() -> None:
    """Logs a line and a failure, as they come from the middle of a call."""
    current_call.set(Call("abc-1", "X/Y", asyncio.timeout(None)))
    log.info("done", extra={"fields": {"model": "m", "duration_s": 0.5}})
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("failed")


@pytest.mark.usefixtures("root")
async def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_log(LogSettings(format="json"))
    log.info("outside")
    log.debug("below the level")
    await asyncio.create_task(in_a_call())
    outside, done, failed = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {"level": "info", "message": "outside"}.items() <= outside.items()
    assert "request_id" not in outside
    assert {"request_id": "abc-1", "model": "m", "duration_s": 0.5}.items() <= done.items()
    assert (failed["level"], failed["request_id"]) == ("error", "abc-1")
    assert "ValueError: broken" in failed["traceback"]


@pytest.mark.usefixtures("root")
async def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_log(LogSettings(level="debug"))
    log.debug("outside")
    await asyncio.create_task(in_a_call())
    outside, done, failed, *trace = capsys.readouterr().err.splitlines()
    assert outside.endswith(" debug   outside")
    assert done.endswith(" info    done request_id=abc-1 model=m duration_s=0.5")
    assert failed.endswith(" error   failed request_id=abc-1")
    assert trace[-1] == "ValueError: broken"
