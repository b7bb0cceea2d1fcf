"""Engines are found by name, and imported only then."""

import subprocess
import sys

import pytest

from gpt_server.services.common.engines import EngineMissing, load_engine
from gpt_server.services.llm.engine import LLMEngine
from gpt_server.services.llm.engines import ENGINES

HEAVY = ("torch", "transformers", "vllm", "sglang", "lmdeploy", "pydantic")


def test_an_engine_is_found_by_its_own_name() -> None:
    engine = load_engine(ENGINES, "fake")
    assert issubclass(engine, LLMEngine)
    assert engine.name == "fake"


def test_an_unknown_engine_is_answered_with_those_there_are() -> None:
    with pytest.raises(EngineMissing, match="unknown engine 'nope'; allowed: fake, hf, lmdeploy, sglang, vllm"):
        load_engine(ENGINES, "nope")


def test_a_missing_library_is_answered_with_what_to_do() -> None:
    with pytest.raises(EngineMissing, match=r"'far' is not installed here .*: gpt-server engines install far"):
        load_engine({"far": "gpt_server_no_such_module:Engine"}, "far")


def test_the_table_imports_no_library() -> None:
    code = f"import sys, gpt_server.services.llm.engines; sys.exit(any(name in sys.modules for name in {HEAVY}))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
