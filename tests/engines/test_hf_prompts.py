"""What the hf engine makes of a conversation and of its configuration; needs no weights."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from gpt_server.services.common.errors import InvalidField, UnsupportedFeature, WrongModelKind
from gpt_server.services.llm.engine import Chat, EngineConfig, Message, Part, Reasoning, Tool, ToolCall, ToolChoice
from gpt_server.services.llm.engines.hf import HFEngine
from gpt_server.services.llm.render import render
from tests.engines.hf_model import MODEL

ROLES = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{{ '[assistant]' if add_generation_prompt }}"
SHOWS = "{{ tools | tojson if tools }}{% for m in messages %}{{ m.tool_calls | tojson if m.tool_calls }}{% endfor %}"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(MODEL)


def said(*turns: tuple[str, str], **fields: Any) -> Chat:
    return Chat([Message(role, [Part(text=text)]) for role, text in turns], **fields)  # type: ignore[arg-type]


HELLO = said(("user", "Hello"))


def test_developer_is_system_unless_the_template_knows_better(tokenizer: Any) -> None:
    chat = said(("developer", "Be brief."), ("user", "Hello"))
    assert render(tokenizer, ROLES, chat, None, False) == "[system]Be brief.[user]Hello[assistant]"
    assert render(tokenizer, ROLES + "{# developer #}", chat, None, False).startswith("[developer]")


def test_parts_of_text_are_joined(tokenizer: Any) -> None:
    chat = Chat([Message("user", [Part(text="Hel"), Part(text="lo")])], add_generation_prompt=False)
    assert render(tokenizer, ROLES, chat, None, False) == "[user]Hello"


def test_tools_are_shown_and_arguments_are_not_quoted_twice(tokenizer: Any) -> None:
    call = ToolCall("1", "f", '{"a": "é"}')
    chat = Chat([Message("assistant", tool_calls=[call])], tools=[Tool("f")])
    shown = render(tokenizer, SHOWS, chat, None, False)
    assert '"parameters": {"type": "object", "properties": {}}' in shown
    assert '"arguments": {"a": "é"}' in shown
    hidden = Chat([Message("assistant", tool_calls=[call])], tools=[Tool("f")], tool_choice=ToolChoice("none"))
    assert "parameters" not in render(tokenizer, SHOWS, hidden, None, False)


def test_arguments_that_are_no_json_are_passed_on(tokenizer: Any) -> None:
    chat = Chat([Message("assistant", tool_calls=[ToolCall("1", "f", '{"a": ')])])
    assert r'"arguments": "{\"a\": "' in render(tokenizer, SHOWS, chat, None, False)


@pytest.mark.parametrize(
    ("reasoning", "shown"),
    [
        (None, "unset"),
        (Reasoning(enabled=True), "True"),
        (Reasoning(enabled=False), "False"),
        (Reasoning(effort="high"), "True"),
        (Reasoning(effort="none"), "False"),
        (Reasoning(enabled=True, effort="none"), "True"),
    ],
)
def test_thinking_is_switched_by_the_template(tokenizer: Any, reasoning: Reasoning | None, shown: str) -> None:
    template = "{{ enable_thinking if enable_thinking is defined else 'unset' }}"
    assert render(tokenizer, template, HELLO, reasoning, True) == shown
    other = said(("user", "Hello"), template_args_json='{"enable_thinking": "mine"}')
    assert render(tokenizer, template, other, reasoning, True) == "mine"


def test_effort_is_told_to_templates_that_know_it(tokenizer: Any) -> None:
    assert render(tokenizer, "{{ reasoning_effort }}", HELLO, Reasoning(effort="low"), True) == "low"


@pytest.mark.parametrize(
    ("thinks", "reasoning", "field"),
    [
        (False, Reasoning(enabled=True), "reasoning.enabled"),
        (False, Reasoning(effort="high"), "reasoning.effort"),
        (True, Reasoning(enabled=False), "reasoning.enabled"),
        (True, Reasoning(effort="none"), "reasoning.effort"),
    ],
)
def test_what_a_template_cannot_switch_is_refused(
    tokenizer: Any, thinks: bool, reasoning: Reasoning, field: str
) -> None:
    with pytest.raises(UnsupportedFeature) as refusal:
        render(tokenizer, ROLES, HELLO, reasoning, thinks)
    assert refusal.value.field == field


def test_a_model_that_cannot_think_may_be_told_not_to(tokenizer: Any) -> None:
    assert render(tokenizer, ROLES, HELLO, Reasoning(enabled=False), False) == "[user]Hello[assistant]"


def test_errors_of_the_template_are_the_callers(tokenizer: Any) -> None:
    template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(InvalidField, match="roles must alternate") as refusal:
        render(tokenizer, template, HELLO, None, False)
    assert refusal.value.field == "chat.messages"


def test_arguments_of_the_renderer_are_no_variables(tokenizer: Any) -> None:
    chat = said(("user", "Hello"), template_args_json='{"chat_template": "x", "mine": 1}')
    with pytest.raises(InvalidField, match="chat_template"):
        render(tokenizer, ROLES, chat, None, False)


def test_without_a_template_there_is_no_chat(tokenizer: Any) -> None:
    with pytest.raises(WrongModelKind):
        render(tokenizer, "", HELLO, None, False)


def problems(**fields: Any) -> dict[str, str]:
    config = EngineConfig(**{"model": MODEL} | fields)
    return {problem.key: problem.message for problem in HFEngine.check(config)}


def test_a_good_configuration_has_no_problems() -> None:
    assert problems() == {}
    assert problems(model="Qwen/Qwen3-0.6B", engine_args={"dtype": "bfloat16", "revision": "main"}) == {}


def test_problems_of_a_configuration_are_named(tmp_path: Path) -> None:
    assert "dtyp" not in problems(engine_args={"dtype": "auto"})
    found = problems(engine_args={"dtype": "int3", "dtyp": "auto", "prefill_chunk_tokens": 0, "device": "tpu"})
    assert set(found) == {f"engine_args.{name}" for name in ("dtype", "dtyp", "prefill_chunk_tokens", "device")}
    assert "bfloat16" in found["engine_args.dtype"]
    assert "max_context_tokens" in found["engine_args.dtyp"]
    assert set(problems(adapters={"a": "b"}, adapter_folder=tmp_path / "none")) == {"adapters.a", "adapter_folder"}
    assert set(problems(engine_args={"device": "cuda"})) == {"engine_args.device"}
    assert set(problems(engine_args={"chat_template": str(tmp_path / "none")})) == {"engine_args.chat_template"}
    assert "no such folder" in problems(model=str(tmp_path / "none"))["model"]
    assert "not a model folder" in problems(model=str(tmp_path))["model"]


async def test_a_folder_that_cannot_be_loaded_fails_the_start(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (tmp_path / name).write_bytes((Path(MODEL) / name).read_bytes())
    engine = HFEngine(EngineConfig(str(tmp_path)))
    with pytest.raises(OSError, match=r"model\.safetensors"):
        await engine.start()
    await engine.close()
