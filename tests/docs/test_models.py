"""The configurations of docs/engines.md: right in themselves, and to the engines that need no library to say so."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpt_server.launcher.config import check
from gpt_server.launcher.yaml_file import YamlFile
from gpt_server.services.embed.engine import EngineConfig
from gpt_server.services.embed.engines.sentence_transformers import SentenceTransformersEngine

PAGE = (Path(__file__).parents[2] / "docs" / "engines.md").read_text(encoding="utf-8")
EXAMPLES = [
    yaml.safe_load(text) for text in re.findall(r"<!-- checked by tests/docs -->\n```yaml\n(.*?)```", PAGE, re.S)
]
ENTRIES = {
    name: entry
    for example in EXAMPLES
    for name, entry in example["models"].items()
    if entry["engine"] == "sentence_transformers"
}
WANTED = "bge-m3 bge bce acge yinka xiaobu conan ritrieve qwen3-embedding jina-v3 bge-vl bge-reranker bce-reranker"
"""Model kinds that gpt_server's users have."""


@pytest.mark.parametrize("example", EXAMPLES)
def test_configuration_is_right(example: Any) -> None:
    assert check(YamlFile(None, example, {})).models.keys() == example["models"].keys()


@pytest.mark.parametrize("name", ENTRIES)
def test_engine_finds_nothing_wrong(name: str) -> None:
    entry = ENTRIES[name]
    assert (
        SentenceTransformersEngine.check(EngineConfig(entry["model"], engine_args=entry.get("engine_args", {}))) == []
    )


def test_every_kind_has_an_entry() -> None:
    assert {*WANTED.split(), "qwen3-reranker", "jina-reranker", "moderation", "injection"} == ENTRIES.keys()
