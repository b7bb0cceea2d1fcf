"""Programs that tests need and pip does not bring: CONTRIBUTING.md lists them."""

import os
import shutil
from typing import NoReturn

import pytest


def need(program: str) -> str:
    """Returns the path of a program. Without it the test is skipped by name, and fails where CI=true."""
    if found := shutil.which(program):
        return found
    unavailable(f"{program} is not installed")


def unavailable(why: str) -> NoReturn:
    """Skips the test by name for what this machine lacks, and fails it where CI=true."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
