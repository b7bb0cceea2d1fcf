"""Programs that tests need and pip does not bring: CONTRIBUTING.md lists them."""

import os
import shutil

import pytest


def need(program: str) -> str:
    """Returns the path of a program. Without it the test is skipped by name, and fails where CI=true."""
    if found := shutil.which(program):
        return found
    missing = f"{program} is not installed"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)
