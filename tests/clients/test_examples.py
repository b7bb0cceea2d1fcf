"""The examples of docs/clients.md, run as they stand."""

import re

import pytest

from tests.clients.conftest import Server
from tests.clients.environments import ROOT, environment, is_node
from tests.clients.program import CLIENTS, PRICES
from tests.support.demo import output_of
from tests.support.needs import need

PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
EXAMPLES: list[tuple[str, str, str]] = [
    (name, prints, code)
    for names, prints, code in re.findall(
        r"<!-- run by tests/clients with ([\w, -]+): (.*?) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL
    )
    for name in names.split(", ")
]

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_every_client_has_an_example() -> None:
    assert {name for name, _, _ in EXAMPLES} == set(CLIENTS)


@pytest.mark.parametrize(("client", "prints", "code"), EXAMPLES, ids=[name for name, _, _ in EXAMPLES])
async def test_example(server: Server, client: str, prints: str, code: str) -> None:
    folder = environment(client)
    program = [need("node"), "--input-type=module", "-e"] if is_node(client) else [str(folder / "bin" / "python"), "-c"]
    in_its_place = ("env", "-C", str(folder), *(f"{name}={value}" for name, value in PRICES.items()))
    assert prints in await output_of(*in_its_place, *program, code.replace("http://127.0.0.1:8000/v1", server.base_url))
