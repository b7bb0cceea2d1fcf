"""What engines yield -> messages of `gpt_server.image.v1`."""

from collections.abc import Iterator, Mapping

from gpt_server.common.v1 import model_pb2, usage_pb2
from gpt_server.image.v1 import image_service_pb2 as pb
from gpt_server.services.image.engine import EditKind, Finished, ImageFormat, Made, ModelDetails, Prepared, Progress

PART_BYTES = 1024 * 1024 - 1024

FORMATS: Mapping[ImageFormat, "pb.ImageFormat.ValueType"] = {
    "png": pb.IMAGE_FORMAT_PNG,
    "jpeg": pb.IMAGE_FORMAT_JPEG,
    "webp": pb.IMAGE_FORMAT_WEBP,
}
EDIT_KINDS: Mapping[EditKind, "pb.EditKind.ValueType"] = {
    "instruction": pb.EDIT_KIND_INSTRUCTION,
    "image_to_image": pb.EDIT_KIND_IMAGE_TO_IMAGE,
    "inpaint": pb.EDIT_KIND_INPAINT,
}
Event = pb.Started | pb.Queued | pb.Progress | pb.ImagePart | pb.Finished
"""What one message of a stream carries; the field is called by its type."""


def started(prepared: Prepared) -> pb.Started:
    """Returns the first event of a stream."""
    task = prepared.task
    return pb.Started(
        prompt_tokens=prepared.prompt_tokens, width_px=task.width_px, height_px=task.height_px, n=len(task.seeds)
    )


def queued(position: int) -> pb.Queued:
    """Returns the event of a request that waits."""
    return pb.Queued(position=position)


def progress(event: Progress) -> pb.Progress:
    """Returns the event of a step."""
    return pb.Progress(step=event.step, steps=event.steps)


def image_parts(made: Made, content: bytes, kind: ImageFormat, seed: int) -> Iterator[pb.ImagePart]:
    """Yields a file in parts."""
    header = pb.ImageHeader(
        seed=seed,
        width_px=made.picture.width,
        height_px=made.picture.height,
        format=FORMATS[kind],
        content_bytes=len(content),
        preview=made.preview,
    )
    for begin in range(0, len(content), PART_BYTES):
        end = begin + PART_BYTES
        yield pb.ImagePart(
            image=made.image, content=content[begin:end], header=None if begin else header, last=end >= len(content)
        )


def finished(event: Finished, prompt_tokens: int, queue_s: float, encode_s: float) -> pb.Finished:
    """Returns the last event; `queue_s`: in the service's own queue."""
    timings = pb.Timings(queue_s=queue_s + event.timings.queue_s, compute_s=event.timings.compute_s, encode_s=encode_s)
    usage = usage_pb2.Usage(prompt_tokens=prompt_tokens, completion_tokens=event.grid_places)
    return pb.Finished(usage=usage, timings=timings)


def description(model: model_pb2.ModelDescription, details: ModelDetails) -> pb.DescribeResponse:
    """Returns the answer of `Describe`."""
    return pb.DescribeResponse(
        model=model,
        default_width_px=details.default_width_px,
        default_height_px=details.default_height_px,
        size_multiple_px=details.size_multiple_px,
        max_pixels=details.max_pixels,
        default_num_inference_steps=details.default_num_inference_steps,
        default_guidance_scale=details.default_guidance_scale,
        edit_kinds=sorted(EDIT_KINDS[kind] for kind in details.edit_kinds),
        max_input_images=details.max_input_images,
        negative_prompt=details.negative_prompt,
        previews=details.previews,
        transparent_background=details.transparent_background,
    )
