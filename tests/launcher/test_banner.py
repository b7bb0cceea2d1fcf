"""What is printed when a stack is ready: examples that its models can answer."""

import pytest

from gpt_server.launcher import banner
from gpt_server.launcher.config import check
from gpt_server.launcher.yaml_file import YamlFile


@pytest.mark.parametrize(
    ("models", "example"),
    [
        ({"ear": ("audio", "pocketsphinx"), "chat": ("llm", "fake")}, '"model": "chat"'),
        ({"ear": ("audio", "pocketsphinx"), "draw": ("image", "fake")}, "/v1/images/generations"),
        ({"ear": ("audio", "pocketsphinx")}, "curl http://127.0.0.1:8000/v1/models"),
        ({"vectors": ("embed", "fake")}, "curl http://127.0.0.1:8000/v1/models"),
    ],
)
def test_the_example_is_for_a_model_that_can(models: dict[str, tuple[str, str]], example: str) -> None:
    entries = {
        key: {"service": service, "engine": engine, "model": "en-us"} for key, (service, engine) in models.items()
    }
    text = banner.text(check(YamlFile(None, {"models": entries}, {})), 8000, 2.0)
    assert example in text
    assert ("chat/completions" in text) == ("chat" in models)
