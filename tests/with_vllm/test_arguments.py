"""`engine_args` are held against vLLM's own, and devices against what this vLLM is built for."""

from typing import Any

import pytest

from gpt_server.services.common.vllm import ENVIRONMENT, parallel_sizes
from gpt_server.services.llm.engine import EngineConfig
from gpt_server.services.llm.engines.vllm import VLLMEngine
from gpt_server.services.llm.engines.vllm.arguments import engine_arguments
from tests.with_vllm.llm import CHAT, SMALL


def problems(model: str = CHAT, gpus: int = 0, **engine_args: Any) -> dict[str, str]:
    found = VLLMEngine.check(EngineConfig(model, gpus=gpus, engine_args=engine_args))
    return {problem.key: problem.message for problem in found}


def test_what_is_right() -> None:
    assert problems(**SMALL, max_model_len=512, tool_parser="hermes", reasoning_parser="none") == {}
    assert problems(compilation_config={"mode": 0}, hf_overrides={"rope_theta": 1.0}, limit_mm_per_prompt={}) == {}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("max_model_length", 5, "vLLM has no such argument; did you mean max_model_len?"),
        ("dtype", "float8", "Input should be 'auto', 'half'"),
        ("max_model_len", "many", "Input should be a valid integer"),
        ("enforce_eager", "perhaps", "Input should be a valid boolean"),
        ("structured_outputs_config", {"backend": "none such"}, "Input should be 'auto', 'xgrammar'"),
        ("max_num_seqs", 3, "not taken here: set `limits.max_running` of the entry"),
        ("enable_lora", True, "not taken here: set `adapters` or `adapter_folder` of the entry"),
        ("tool_parser", "nobody's", 'vLLM has no "nobody\'s"; allowed: none, '),
        ("reasoning_parser", "x", "vLLM has no 'x'; allowed: none, "),
        ("chat_template", "no/such/file", "no such file: no/such/file"),
    ],
)
def test_what_is_wrong(name: str, value: Any, said: str) -> None:
    found = problems(**{name: value})
    assert list(found) == [f"engine_args.{name}"]
    assert found[f"engine_args.{name}"].startswith(said)


def test_models_and_devices() -> None:
    assert problems("/no/such/folder") == {"model": "no such folder: /no/such/folder"}
    assert problems(gpus=1) == {"gpus": "this vLLM is built for the CPU: gpt-server engines install vllm --device cuda"}


@pytest.mark.parametrize(
    ("gpus", "said", "sizes"),
    [
        (0, {}, {}),
        (4, {}, {"tensor_parallel_size": 4}),
        (8, {"pipeline_parallel_size": 2}, {"pipeline_parallel_size": 2, "tensor_parallel_size": 4}),
        (8, {"data_parallel_size": 8}, {"data_parallel_size": 8, "tensor_parallel_size": 1}),
        (4, {"tensor_parallel_size": 2}, {"tensor_parallel_size": 2}),
    ],
)
def test_gpus_are_shared_out(gpus: int, said: dict[str, int], sizes: dict[str, int]) -> None:
    assert parallel_sizes(EngineConfig(CHAT, gpus=gpus, engine_args=said)) == sizes


def test_our_defaults_give_way() -> None:
    ours = engine_arguments(EngineConfig(CHAT))
    assert ours["scheduling_policy"] == "priority"
    said = {"structured_outputs_config": {"backend": "xgrammar"}, "scheduling_policy": "fcfs"}
    theirs = engine_arguments(EngineConfig(CHAT, engine_args=said))
    assert theirs["structured_outputs_config"].backend == "xgrammar"
    assert theirs["scheduling_policy"] == "fcfs"


def test_what_vllm_is_told_through_its_environment_is_what_it_reads() -> None:
    from vllm import envs

    assert ENVIRONMENT.keys() <= envs.environment_variables.keys()
