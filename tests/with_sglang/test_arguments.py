"""`engine_args` are held against SGLang's own."""

from pathlib import Path
from typing import Any

import pytest

from gpt_server.services.llm.engine import EngineConfig
from gpt_server.services.llm.engines.sglang import SGLangEngine
from gpt_server.services.llm.engines.sglang.arguments import engine_arguments, parallel_sizes
from tests.engines.adapters_suite import ADAPTERS
from tests.with_sglang.llm import CHAT, SMALL


def problems(model: str = CHAT, gpus: int = 0, **engine_args: Any) -> dict[str, str]:
    found = SGLangEngine.check(EngineConfig(model, gpus=gpus, engine_args=engine_args))
    return {problem.key: problem.message for problem in found}


def test_what_is_right() -> None:
    assert problems(**SMALL, context_length=512, tool_parser="hermes", reasoning_parser="none") == {}
    assert problems(json_model_override_args="{}", mem_fraction_static=0.5, random_seed=1) == {}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("context_lenght", 5, "SGLang has no such argument; did you mean context_length?"),
        ("dtype", "float8", "must be one of auto, bfloat16"),
        ("context_length", "many", "Expected `int | null`, got `str`"),
        ("disable_radix_cache", "perhaps", "Expected `bool`, got `str`"),
        ("lora_backend", "none such", "must be one of ascend, csgmv"),
        ("max_running_requests", 3, "not taken here: set `limits.max_running` of the entry"),
        ("tool_call_parser", "hermes", "not taken here: set `tool_parser`"),
        ("tool_parser", 3, "Input should be a valid string"),
        ("tool_parser", "nobody's", 'SGLang has no "nobody\'s"; allowed: none, '),
        ("reasoning_parser", "x", "SGLang has no 'x'; allowed: none, "),
        ("chat_template", "no/such/file", "no such file: no/such/file"),
    ],
)
def test_what_is_wrong(name: str, value: Any, said: str) -> None:
    found = problems(**{name: value})
    assert list(found) == [f"engine_args.{name}"]
    assert found[f"engine_args.{name}"].startswith(said)


def test_models_and_devices() -> None:
    assert problems("/no/such/folder") == {"model": "no such folder: /no/such/folder"}
    assert problems(gpus=4, tp_size=2) == {"gpus": "is 4, but tp_size 2 makes 2"}


@pytest.mark.parametrize(
    ("gpus", "said", "sizes"),
    [
        (0, {}, {}),
        (4, {}, {"tp_size": 4}),
        (8, {"pp_size": 2}, {"pp_size": 2, "tp_size": 4}),
        (4, {"tp_size": 2}, {"tp_size": 2}),
    ],
)
def test_gpus_are_shared_out(gpus: int, said: dict[str, int], sizes: dict[str, int]) -> None:
    assert parallel_sizes(EngineConfig(CHAT, gpus=gpus, engine_args=said)) == sizes


def test_our_defaults_give_way_and_what_follows_from_them_too() -> None:
    ours = engine_arguments(EngineConfig(CHAT))
    assert (ours["enable_priority_scheduling"], ours["schedule_low_priority_values_first"]) == (True, True)
    theirs = engine_arguments(EngineConfig(CHAT, engine_args={"enable_priority_scheduling": False}))
    assert "schedule_low_priority_values_first" not in theirs
    assert theirs["default_priority_value"] is None


def test_every_name_that_we_give_sglang_is_its_own() -> None:
    from sglang.srt.server_args import ServerArgs

    from gpt_server.services.llm.engines.sglang.arguments import ELSEWHERE

    ServerArgs(**engine_arguments(EngineConfig(CHAT, adapter_folder=ADAPTERS, engine_args=SMALL)))
    assert set(ELSEWHERE) <= set(ServerArgs.__struct_fields__)


def test_room_for_adapters_that_are_known_and_for_those_to_come(tmp_path: Path) -> None:
    assert "enable_lora" not in engine_arguments(EngineConfig(CHAT))
    empty = engine_arguments(EngineConfig(CHAT, adapter_folder=tmp_path))
    assert (empty["max_loras_per_batch"], empty["max_lora_rank"]) == (2, 16)
    assert "q_proj" in empty["lora_target_modules"]
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "adapter_config.json").write_text('{"r": 64, "target_modules": ["x_proj"]}')
    one = engine_arguments(EngineConfig(CHAT, {"one": str(tmp_path / "one")}))
    assert (one["max_loras_per_batch"], one["max_lora_rank"], one["lora_target_modules"]) == (2, 64, ["x_proj"])
    (tmp_path / "one" / "adapter_config.json").write_text('{"r": 8, "target_modules": "all-linear"}')
    everywhere = engine_arguments(EngineConfig(CHAT, adapter_folder=tmp_path))
    assert everywhere["lora_target_modules"] == ["all"]
