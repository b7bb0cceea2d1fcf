"""Which clients a test runs with."""

import pytest

from tests.clients.program import CLIENTS


def clients(able_to: str = "", *, of: str = "") -> pytest.MarkDecorator:
    """Runs a test with every client, or with those alone whose name begins with `of`. From those that are not able to
    do something it must fail.
    """
    parameters = [
        pytest.param(name, marks=pytest.mark.xfail(reason=client.cannot[able_to], strict=True))
        if able_to in client.cannot
        else name
        for name, client in CLIENTS.items()
        if name.startswith(of)
    ]
    return pytest.mark.parametrize("client", parameters, indirect=True)
