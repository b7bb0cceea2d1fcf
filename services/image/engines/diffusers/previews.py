"""What an image looks like before it is finished: its latents, decoded."""

from collections.abc import Sequence
from typing import Any

import torch

from gpt_server.services.image.engine import Picture


def can_preview(pipeline: Any) -> bool:
    """Whether the latents of a pipeline are understood here."""
    vae = getattr(pipeline, "vae", None)
    if vae is None or "latents" not in getattr(pipeline, "_callback_tensor_inputs", ()):
        return False
    if vae.dtype == torch.float16 and getattr(vae.config, "force_upcast", False):
        return False  # such an autoencoder makes no sense of half precision
    return hasattr(vae, "bn") or hasattr(vae.config, "latents_mean") or hasattr(vae.config, "scaling_factor")


def preview_steps(steps: int, previews: int) -> Sequence[int]:
    """Returns after which steps, counted from 1, a preview is shown: evenly, and never after the last."""
    wanted = (round(steps * (i + 1) / (previews + 1)) for i in range(previews))
    return [step for step in dict.fromkeys(wanted) if 0 < step < steps]


def foreseen(scheduler: Any, before: torch.Tensor | None, latents: torch.Tensor) -> torch.Tensor:
    """Returns where the latents are heading: along the last step's direction, for flows; else where they are."""
    place = getattr(scheduler, "step_index", None)
    if before is None or place is None or not type(scheduler).__name__.startswith("FlowMatchEuler"):
        return latents
    last, now = scheduler.sigmas[place - 1], scheduler.sigmas[place]
    ahead: torch.Tensor = latents - now * (latents - before) / (now - last)
    return ahead


def decode(pipeline: Any, latents: torch.Tensor, width_px: int, height_px: int) -> Sequence[Picture]:
    """Returns the pictures of some latents."""
    vae = pipeline.vae
    scale = int(pipeline.vae_scale_factor)
    latents = latents.to(vae.device, vae.dtype)
    if hasattr(vae, "bn"):
        latents = _of_flux2(pipeline, latents, width_px // (2 * scale), height_px // (2 * scale))
    elif latents.ndim == 3:
        latents = pipeline._unpack_latents(latents, height_px, width_px, scale)
    if latents.ndim == 5:
        mean, deviation = (_channels(vae, getattr(vae.config, f"latents_{name}"), latents) for name in ("mean", "std"))
        pixels = vae.decode(latents * deviation + mean, return_dict=False)[0][:, :, 0]
    else:
        if not hasattr(vae, "bn"):
            latents = latents / vae.config.scaling_factor + (getattr(vae.config, "shift_factor", None) or 0.0)
        pixels = vae.decode(latents, return_dict=False)[0]
    pictures: Sequence[Picture] = pipeline.image_processor.postprocess(pixels, output_type="pil")
    return pictures


def _of_flux2(pipeline: Any, latents: torch.Tensor, columns: int, rows: int) -> torch.Tensor:
    vae = pipeline.vae
    grid = latents.reshape(len(latents), rows, columns, -1).permute(0, 3, 1, 2)
    deviation = torch.sqrt(vae.bn.running_var + vae.config.batch_norm_eps).view(1, -1, 1, 1).to(grid)
    unpatched: torch.Tensor = pipeline._unpatchify_latents(
        grid * deviation + vae.bn.running_mean.view(1, -1, 1, 1).to(grid)
    )
    return unpatched


def _channels(vae: Any, values: Sequence[float], latents: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values).view(1, vae.config.z_dim, 1, 1, 1).to(latents)
