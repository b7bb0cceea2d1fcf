"""`engine_args` are held against LMDeploy's own, of either backend."""

import json
from pathlib import Path
from typing import Any

import pytest

from gpt_server.services.llm.engine import EngineConfig, Problem
from gpt_server.services.llm.engines.lmdeploy import LMDeployEngine
from gpt_server.services.llm.engines.lmdeploy.arguments import ELSEWHERE, engine_arguments
from tests.engines.adapters_suite import ADAPTERS
from tests.with_lmdeploy.llm import CHAT, SMALL


def problems(model: str = CHAT, gpus: int = 0, **engine_args: Any) -> dict[str, str]:
    found = LMDeployEngine.check(EngineConfig(model, gpus=gpus, engine_args=engine_args))
    return {problem.key: problem.message for problem in found}


def test_what_is_right() -> None:
    assert problems(**SMALL, session_len=512, tool_parser="qwen3coder", reasoning_parser="none") == {}
    assert problems(backend="turbomind", cache_max_entry_count=0.5, quant_policy=8, tool_parser="hermes") == {}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"session_length": 5}, "LMDeploy (pytorch) has no such argument; did you mean session_len?"),
        ({"communicator": "nccl"}, "LMDeploy (pytorch) has no such argument"),
        ({"num_gpu_blocks": 8, "backend": "turbomind"}, "LMDeploy (turbomind) has no such argument"),
        ({"backend": "tensorrt"}, "Input should be 'pytorch' or 'turbomind'"),
        ({"dtype": "float8"}, "LMDeploy does not take 'float8'"),
        ({"cache_max_entry_count": 1.5}, "LMDeploy does not take 1.5: invalid cache_max_entry_count"),
        ({"session_len": "many"}, "Input should be a valid integer"),
        ({"max_batch_size": 3}, "not taken here: set `limits.max_running` of the entry"),
        ({"enable_mp_engine": True}, "not taken here: the engine runs in this process"),
        ({"tool_parser": "nobody's"}, 'LMDeploy has no "nobody\'s"; allowed: none, deepseek-v32, '),
        ({"reasoning_parser": "x"}, "LMDeploy has no 'x'; allowed: none, deepseek_r1, qwen3"),
        ({"chat_template": "no/such/file"}, "no such file: no/such/file"),
    ],
    ids=str,
)
def test_what_is_wrong(args: dict[str, Any], said: str) -> None:
    ((key, message),) = problems(**args).items()
    assert key == f"engine_args.{next(iter(args))}"
    assert message.startswith(said)


def test_models_and_devices() -> None:
    assert problems("/no/such/folder") == {"model": "no such folder: /no/such/folder"}
    assert problems(gpus=4, tp=2) == {"gpus": "is 4, but tp 2 makes 2"}
    assert [engine_arguments(EngineConfig(CHAT, gpus=gpus)).tp for gpus in (0, 4)] == [1, 4]


def test_adapters(tmp_path: Path) -> None:
    config = EngineConfig(CHAT, {"x": str(tmp_path)})
    message = f"{tmp_path} has no adapter_config.json: not an adapter's folder"
    assert LMDeployEngine.check(config) == [Problem("adapters.x", message)]
    written = json.loads((ADAPTERS / "pirate" / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(written | {"use_velora": True}))
    message = "uses use_velora, which LMDeploy does not know"
    assert LMDeployEngine.check(config) == [Problem("adapters.x", message)]
    message = "LMDeploy loads adapters at the start alone: set `adapters`"
    assert LMDeployEngine.check(EngineConfig(CHAT, adapter_folder=ADAPTERS)) == [Problem("adapter_folder", message)]
    config = EngineConfig(CHAT, {"x": str(ADAPTERS / "pirate")}, engine_args={"backend": "turbomind"})
    message = "the turbomind backend of LMDeploy takes none; the pytorch one does"
    assert LMDeployEngine.check(config) == [Problem("adapters", message)]


def test_every_name_that_we_give_lmdeploy_is_its_own() -> None:
    from lmdeploy.messages import PytorchEngineConfig, TurbomindEngineConfig

    known = {*vars(PytorchEngineConfig()), *vars(TurbomindEngineConfig())}
    assert set(ELSEWHERE) <= known
    for backend in ("pytorch", "turbomind"):
        engine_arguments(EngineConfig(CHAT, engine_args={"backend": backend}))
