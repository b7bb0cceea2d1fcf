"""The reference pages are what the code says, and no link of the documentation leads nowhere."""

import re
from pathlib import Path

import pytest

from tools.write_docs import DOCS, PAGES

ROOT = DOCS.parent
PROSE = [
    *ROOT.glob("*.md"),
    *DOCS.glob("*.md"),
    ROOT / "protos" / "README.md",
    *(ROOT / "deploy").glob("*.md"),
    *(ROOT / "models").rglob("*.md"),
]


@pytest.mark.parametrize("name", PAGES)
def test_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "run `make docs` and commit what it writes"


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target.replace("\\", "")).exists(), target


def test_every_route_is_documented() -> None:
    from gpt_server.edge.app import create_app
    from gpt_server.edge.config import EdgeSettings

    text = (DOCS / "http-api.md").read_text(encoding="utf-8")
    paths = create_app(EdgeSettings()).openapi()["paths"]
    assert "/v1/chat/completions" in paths
    for path in paths:
        assert f"`{path.replace(':path', '')}`" in text, path


def test_every_rpc_is_documented() -> None:
    text = (ROOT / "protos" / "README.md").read_text(encoding="utf-8")
    for proto in (ROOT / "protos" / "gpt_server").rglob("*.proto"):
        for rpc in re.findall(r"^  rpc (\w+)", proto.read_text(encoding="utf-8"), re.MULTILINE):
            assert f"`{rpc}`" in text, rpc
