"""The image service over its fake engine: order of messages, pictures, refusals, the queue, cancelling."""

import asyncio
import io
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
import pytest
from PIL import Image

from gpt_server.image.v1 import image_service_pb2 as pb
from gpt_server.image.v1 import image_service_pb2_grpc
from gpt_server.services.common.admission import Admission
from gpt_server.services.image import responses
from gpt_server.services.image.engine import Made
from tests.services.asking import refusal
from tests.services.image_asking import LIMIT_S, answer, edit, generate, png
from tests.support.service import RunningService, image_service

Stub = Any


def _holds(admission: Admission, requests: int) -> bool:
    return admission.running + admission.queued == requests


@pytest.fixture
async def service() -> AsyncIterator[RunningService]:
    limits = {"max_running": 2, "max_queued": 1}
    models = {
        "fake-image": {"engine": "fake", "model": "none", "limits": limits},
        "paints-only": {"engine": "fake", "model": "none", "engine_args": {"edits": False}},
        "edits-only": {"engine": "fake", "model": "none", "engine_args": {"generates": False}},
    }
    async with image_service(models) as running:
        yield running


@pytest.fixture
async def stub(service: RunningService) -> AsyncIterator[Stub]:
    async with grpc.aio.insecure_channel(service.address) as channel:
        yield image_service_pb2_grpc.ImageServiceStub(channel)


async def test_order_of_messages(stub: Stub) -> None:
    found = await answer(stub.Generate(generate(n=2, num_inference_steps=3, preview_images=1, seed=7)))
    of_one = ["progress", "image_part", "progress", "progress", "image_part"]
    assert found.kinds == ["started", *of_one, *of_one, "finished"]
    assert found.steps == [(i, 6) for i in range(1, 7)]
    assert [header.seed for header, _ in found.images] == [7, 8]
    assert [header.preview for header, _ in found.previews] == [0, 0]
    assert (found.started.width_px, found.started.height_px, found.started.n) == (64, 64, 2)
    assert (found.finished.usage.prompt_tokens, found.finished.usage.completion_tokens) == (2, 2 * 8 * 8)
    assert all(getattr(found.finished.timings, name) >= 0 for name in ("queue_s", "compute_s", "encode_s"))


async def test_the_seed_comes_back_and_makes_the_same_image(stub: Stub) -> None:
    first = await answer(stub.Generate(generate(n=2)))
    again = await answer(stub.Generate(generate(seed=first.images[1][0].seed)))
    other = await answer(stub.Generate(generate()))
    assert again.images[0][1] == first.images[1][1]
    assert other.images[0][0].seed != first.images[0][0].seed


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP"])
async def test_formats(stub: Stub, name: str) -> None:
    kind = pb.ImageFormat.Value(f"IMAGE_FORMAT_{name}")
    found = await answer(stub.Generate(generate(format=kind, width_px=128, height_px=80)))
    assert (found.picture().format, found.picture().size) == (name, (128, 80))
    assert found.images[0][0].format == kind


async def test_quality_makes_smaller_files(stub: Stub) -> None:
    noise = Image.effect_noise((256, 256), 80).convert("RGB")
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")
    sizes = []
    for quality in (100, 10):
        request = edit(images=[buffer.getvalue()], format=pb.IMAGE_FORMAT_WEBP, quality=quality, seed=1)
        sizes.append((await answer(stub.Edit(request))).images[0][0].content_bytes)
    assert sizes[1] < sizes[0] / 3


def test_large_files_come_in_parts() -> None:
    made = Made(1, Image.new("RGB", (8, 8)))
    parts = [*responses.image_parts(made, bytes(3_000_000), "png", 5)]
    assert len(parts) == 3
    assert all(part.ByteSize() <= 1024 * 1024 for part in parts)
    assert [part.HasField("header") for part in parts] == [True, False, False]
    assert [part.last for part in parts] == [False, False, True]


async def test_edits_keep_the_size_of_the_image(stub: Stub) -> None:
    found = await answer(stub.Edit(edit(images=[png(100, 52)])))
    assert found.picture().size == (96, 48)  # in the model's multiples of 8


async def test_only_what_the_mask_marks_changes(stub: Stub) -> None:
    mask = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (0, 0, 32, 64))  # transparent: may change
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    picture = (await answer(stub.Edit(edit(mask=buffer.getvalue())))).picture()
    assert picture.getpixel((40, 10)) == (255, 0, 0)
    assert picture.getpixel((10, 10)) != (255, 0, 0)


async def test_rotation_of_the_file_is_honoured(stub: Stub) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    found = await answer(stub.Edit(edit(images=[png(80, 40, exif=exif)])))
    assert found.picture().size == (40, 80)


async def test_describe(stub: Stub) -> None:
    found = await stub.Describe(pb.DescribeRequest(model="fake-image"))
    assert (found.default_width_px, found.size_multiple_px, found.max_input_images) == (64, 8, 4)
    assert len(found.edit_kinds) == 3
    assert not (await stub.Describe(pb.DescribeRequest(model="paints-only"))).edit_kinds


def bomb() -> bytes:
    """A small file that says that it has very many pixels."""
    return png(5000, 5000, 0, "1")


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        (generate(""), "INVALID_FIELD", "prompt"),
        (generate("x" * 32_001), "INVALID_FIELD", "prompt"),
        (generate(n=11), "INVALID_FIELD", "options.n"),
        (generate(width_px=64), "INVALID_FIELD", "options.width_px"),
        (generate(width_px=60, height_px=64), "INVALID_FIELD", "options.width_px"),
        (generate(width_px=64, height_px=65536), "INVALID_FIELD", "options.width_px"),
        (generate(seed=-1), "INVALID_FIELD", "options.seed"),
        (generate(num_inference_steps=0), "INVALID_FIELD", "options.num_inference_steps"),
        (generate(guidance_scale=-1), "INVALID_FIELD", "options.guidance_scale"),
        (generate(quality=50), "INVALID_FIELD", "options.quality"),
        (generate(format=9), "INVALID_FIELD", "options.format"),
        (generate(preview_images=4), "INVALID_FIELD", "options.preview_images"),
        (generate(true_cfg_scale=3), "UNSUPPORTED_FEATURE", "options.true_cfg_scale"),
        (generate(transparent_background=True), "UNSUPPORTED_FEATURE", "options.transparent_background"),
        (generate('{"fake": {"nonsense": 1}}'), "INVALID_FIELD", "prompt"),
        (generate(model="edits-only"), "WRONG_MODEL_KIND", ""),
        (generate(model="nonsense"), "MODEL_NOT_FOUND", ""),
        (edit(model="paints-only"), "WRONG_MODEL_KIND", ""),
        (edit(images=[b"no picture"]), "INVALID_MEDIA", "images[0]"),
        (edit(images=[png(), bomb()]), "INVALID_MEDIA", "images[1]"),
        (edit(images=[png()] * 5), "INVALID_FIELD", "images"),
        (edit(strength=1.5), "INVALID_FIELD", "strength"),
        (edit(images=[png()] * 2, strength=0.5), "UNSUPPORTED_FEATURE", "images"),
        (edit(mask=png(32, 32)), "INVALID_MEDIA", "mask"),
        (edit(mask=b"x"), "INVALID_MEDIA", "mask"),
    ],
)
async def test_refusals(stub: Stub, request_: Any, reason: str, field: str) -> None:
    call = stub.Edit(request_) if isinstance(request_, pb.EditRequest) else stub.Generate(request_)
    refused = await refusal(call)
    assert (refused.reason, refused.field) == (reason, field)


@pytest.mark.parametrize(
    ("script", "reason"),
    [('"fail_after": 2', "ENGINE_UNAVAILABLE"), ('"crash": true', "INTERNAL"), ('"die": true', "ENGINE_UNAVAILABLE")],
)
async def test_faults_of_the_engine(stub: Stub, script: str, reason: str) -> None:
    refused = await refusal(stub.Generate(generate(f'{{"fake": {{{script}}}}}')))
    assert refused.reason == reason
    assert "secret" not in refused.message


def _is_held(admission: Admission, held: tuple[int, int]) -> bool:
    return (admission.running, admission.queued) == held


async def test_requests_take_turns_and_a_full_queue_refuses(service: RunningService, stub: Stub) -> None:
    engine, admission = service.engines["fake-image"], service.admissions["fake-image"]
    engine.gates["step"].shut()
    calls = [asyncio.ensure_future(answer(stub.Generate(generate(n=3))))]
    async with asyncio.timeout(LIMIT_S):
        await engine.gates["step"].reached.wait()
        for held in ((2, 0), (2, 1)):  # one after the other, so that the first of them gets the slot
            calls.append(asyncio.ensure_future(answer(stub.Generate(generate(n=1)))))
            await admission.changes.until(partial(_is_held, admission, held))
        assert (await refusal(stub.Generate(generate()))).reason == "OVERLOADED"
        engine.gates["step"].open()
        large, small, queued = await asyncio.gather(*calls)
    assert [len(found.images) for found in (large, small, queued)] == [3, 1, 1]
    assert small.positions[0] == 1  # the large one's first image, and not its third
    assert queued.positions[0] == 2
    assert large.positions  # it waited for the small one in between


@pytest.mark.parametrize("method", ["Generate", "Edit"])
async def test_cancelled_in_the_queue(service: RunningService, stub: Stub, method: str) -> None:
    engine, admission = service.engines["fake-image"], service.admissions["fake-image"]
    engine.gates["step"].shut()
    request = generate() if method == "Generate" else edit()
    calls = [getattr(stub, method)(request) for _ in range(3)]
    async with asyncio.timeout(LIMIT_S):
        await admission.changes.until(lambda: (admission.running, admission.queued) == (2, 1))
        for left, call in zip((2, 1, 0), reversed(calls), strict=True):
            call.cancel()
            await admission.changes.until(partial(_holds, admission, left))
        await engine.idle.wait()
    assert engine.steps_done == 0


@pytest.mark.parametrize("phase", ["prepare", "step"])
@pytest.mark.parametrize("method", ["Generate", "Edit"])
async def test_cancelled_in_the_engine(service: RunningService, stub: Stub, method: str, phase: str) -> None:
    engine, admission = service.engines["fake-image"], service.admissions["fake-image"]
    engine.gates[phase].shut()
    call = getattr(stub, method)(generate() if method == "Generate" else edit())
    async with asyncio.timeout(LIMIT_S):
        await engine.gates[phase].reached.wait()
        call.cancel()
        await admission.changes.until(lambda: admission.running == 0)
        await engine.idle.wait()
    assert engine.steps_done == 0
