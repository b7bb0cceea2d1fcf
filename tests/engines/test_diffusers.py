"""The diffusers engine passes the suite with a tiny model of each family that people serve."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gpt_server.services.image.engines.diffusers import DiffusersEngine
from tests.engines import image_models
from tests.engines.image_suite import ImageSuite, Subject, running

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries say while models are built

CAN: dict[str, set[str]] = {
    "flux": {"image_generation", "image_edit", "image_inpaint", "image_variation"},
    "kontext": {"image_generation", "image_edit"},
    "flux2_klein": {"image_generation", "image_edit"},
    "qwen_image": {"image_generation", "image_edit", "image_inpaint", "image_variation"},
    "qwen_image_edit": {"image_edit"},
    "sdxl": {"image_generation", "image_edit", "image_inpaint", "image_variation"},
    "sd3": {"image_generation", "image_edit", "image_inpaint", "image_variation"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest_asyncio.fixture(scope="class", loop_scope="session")
async def subject(request: Any, folder: Path) -> AsyncGenerator[Subject, None]:
    model = image_models.build(request.param, folder)
    if request.param == "qwen_image_edit":  # it looks at every image at 1024 × 1024, which takes half a minute each
        from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as pipeline

        pipeline.VAE_IMAGE_SIZE, pipeline.CONDITION_IMAGE_SIZE = 64 * 64, 56 * 56
    async with running(DiffusersEngine, str(model)) as started:
        assert started.details.capabilities == CAN[request.param]
        yield started


@pytest.mark.parametrize("subject", image_models.MODELS, indirect=True, scope="class")
class TestDiffusers(ImageSuite):
    """FLUX.1, Kontext, FLUX.2 klein, Qwen-Image and -Edit, SDXL, SD 3."""

    def steps_computed(self, subject: Subject) -> int | None:
        pipelines = subject.engine._passes._model.pipelines  # type: ignore[attr-defined]
        scheduler = next(iter(pipelines.values())).scheduler
        return int(scheduler.step_index)
