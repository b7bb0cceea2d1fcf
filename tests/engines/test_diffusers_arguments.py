"""What the diffusers engine says of a configuration, before it loads anything; and its adapters."""

from pathlib import Path
from typing import Any

import pytest

from gpt_server.services.image.engine import EngineConfig
from gpt_server.services.image.engines.diffusers import DiffusersEngine
from tests.engines import image_models
from tests.engines.image_suite import images, running, same, task

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(image_models.build("flux", tmp_path_factory.mktemp("models")))


@pytest.mark.parametrize(
    ("arguments", "key", "message"),
    [
        ({"nonsense": 1}, "engine_args.nonsense", "max_batch_images"),
        ({"dtype": "int4"}, "engine_args.dtype", "float32"),
        ({"max_batch_images": 0}, "engine_args.max_batch_images", "greater than or equal to 1"),
        ({"defaults": {"steps": 1}}, "engine_args.defaults.steps", "num_inference_steps"),
        ({"defaults": {"prompt": "x"}}, "engine_args.defaults.prompt", "unknown to FluxPipeline"),
        ({"offload": "model"}, "engine_args.offload", "gpus: 1"),
        ({"device": "cuda"}, "engine_args.device", "gpus: 1"),
        ({"quantization": {"quant_backend": "int1"}}, "engine_args.quantization.quant_backend", "bitsandbytes_4bit"),
    ],
)
def test_problems(flux: str, arguments: dict[str, Any], key: str, message: str) -> None:
    (problem,) = DiffusersEngine.check(EngineConfig(flux, engine_args=arguments))
    assert problem.key == key
    assert message in problem.message


def test_a_model_that_is_none(tmp_path: Path) -> None:
    (problem,) = DiffusersEngine.check(EngineConfig(str(tmp_path)))
    assert (problem.key, "model_index.json" in problem.message) == ("model", True)
    (problem,) = DiffusersEngine.check(EngineConfig(str(tmp_path / "missing")))
    assert "no such folder" in problem.message
    assert DiffusersEngine.check(EngineConfig("black-forest-labs/FLUX.1-schnell")) == []


@pytest.mark.asyncio(loop_scope="session")
async def test_adapters_are_asked_for_by_name(flux: str, tmp_path: Path) -> None:
    import torch
    from diffusers import FluxPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipeline: Any = FluxPipeline.from_pretrained(flux)
    pipeline.transformer.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    layers = get_peft_model_state_dict(pipeline.transformer)
    FluxPipeline.save_lora_weights(
        str(tmp_path), transformer_lora_layers={name: torch.ones_like(layer) for name, layer in layers.items()}
    )
    async with running(DiffusersEngine, flux, adapters={"loud": str(tmp_path)}) as subject:
        plain, loud, again = [(await images(subject, task(subject, adapter=a)))[0] for a in (None, "loud", None)]
    assert same(plain, again)
    assert not same(plain, loud)


@pytest.mark.asyncio(loop_scope="session")
async def test_images_that_share_a_pass(flux: str) -> None:
    async with running(DiffusersEngine, flux, engine_args={"max_batch_images": 4}) as subject:
        together = await images(subject, task(subject, seeds=[1, 2, 3]))
        alone = await images(subject, task(subject, seeds=[2]))
    assert abs(together[1].astype(int) - alone[0].astype(int)).max() <= 1
