"""The examples of README.md and of the banner, run as they stand against the demo stack."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from gpt_server.launcher.config import check
from gpt_server.launcher.yaml_file import YamlFile
from tests.support.demo import output_of, service_address
from tests.support.needs import need
from tests.support.stack import RunningStack

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
EXAMPLES: list[tuple[str, str]] = re.findall(r"<!-- run by tests/docs -->\n```(\w+)\n(.*?)```", README, re.DOTALL)
PRINTED = [
    "Hello",
    "27 + 15",
    "get_weather",
    "name='Alice' age=30",
    "2 vectors of 384",
    '"index":1',
    '"flagged":true',
    "weather",
    "server",
    "/v1/images/files/",
    "(128, 128)",
    "Hello",
]

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def run(demo: RunningStack, language: str, code: str) -> str:
    code = code.replace("http://127.0.0.1:8000", demo.url)
    program = [need("bash"), "-c"] if language == "sh" and need("curl") else [sys.executable, "-c"]
    return await output_of(*program, code, service_address(demo))


@pytest.mark.parametrize("number", range(len(PRINTED)))
async def test_example_of_the_readme(demo: RunningStack, number: int) -> None:
    assert len(EXAMPLES) == len(PRINTED)
    assert PRINTED[number] in await run(demo, *EXAMPLES[number])


async def test_examples_of_the_banner(demo: RunningStack) -> None:
    curl = next(i for i, line in enumerate(demo.lines) if line.startswith("curl "))
    command = "\n".join(demo.lines[curl : curl + 2]).replace("curl", f"{need('curl')} -s", 1)
    answer = json.loads(await output_of(need("bash"), "-c", command))
    assert answer["choices"][0]["message"]["content"]
    begin, end = next(i for i, line in enumerate(demo.lines) if "<<'END'" in line), demo.lines.index("END")
    assert (await output_of(need("bash"), "-c", "\n".join(demo.lines[begin : end + 1]))).strip()


CHECKED = [
    (path.name, text)
    for path in sorted((Path(__file__).parents[2] / "docs").glob("*.md"))
    for text in re.findall(r"<!-- checked by tests/docs -->\n```yaml\n(.*?)```", path.read_text("utf-8"), re.DOTALL)
]


@pytest.mark.parametrize(("page", "text"), CHECKED)
async def test_configurations_of_the_pages(page: str, text: str) -> None:
    assert check(YamlFile(None, yaml.safe_load(text), {})).models


async def test_configuration_of_the_readme() -> None:
    (text,) = re.findall(r"<!-- checked by tests/docs -->\n```yaml\n(.*?)```", README, re.DOTALL)
    config = check(YamlFile(None, yaml.safe_load(text), {}))
    assert config.served_names("qwen3") == ["qwen3", "gpt-4o-mini"]
    assert config.models["qwen3"].model == "Qwen/Qwen3-0.6B"
