"""The autoencoder of demo-image: 128 × 128 pixels become 16 × 16 mean colours, and pixels again.

The encoder learns nothing: its weights are written down, so that it takes the mean of each 8 × 8 pixels. The decoder
starts by painting these squares, and learns where the edges between them are. So the picture model learns on pictures
of 16 × 16, which takes minutes on a CPU.
"""

import random
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from torch import nn

from models.demo.make_image.scenes import SIDE_PX, paint, training_scenes

CHANNELS = 3
WIDTH = 20
FACTOR = 8
CROP_PX = 64
NOISE = 0.06
"""Added to latents in training, for the latents of the picture model are not exact."""
STRETCH = 3.0
"""Colours from 0 to 1 lie in latents from -STRETCH / 2 to STRETCH / 2."""


def pixels(picture: Image.Image) -> torch.Tensor:
    """Returns a picture as (3, height, width), -1 to 1."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1


def latents_of(pictures: torch.Tensor) -> torch.Tensor:
    """Returns what the encoder makes of pictures (n, 3, h, w), by a shorter way."""
    return nn.functional.avg_pool2d(pictures, FACTOR) * (STRETCH / 2)


@torch.no_grad()
def make_autoencoder() -> Any:
    """Returns one whose encoder is done and whose decoder has learned nothing yet."""
    model: Any = AutoencoderTiny(
        encoder_block_out_channels=(CHANNELS,) * 4,
        decoder_block_out_channels=(WIDTH,) * 4,
        num_encoder_blocks=(0, 0, 0, 0),
        num_decoder_blocks=(3, 2, 1, 0),
        latent_channels=CHANNELS,
    )
    for side in (model.encoder, model.decoder):
        for layer in side.layers:
            if isinstance(layer, nn.Conv2d):
                _pass_colours(layer)
            elif hasattr(layer, "fuse"):  # a block adds to what passes it: nothing, at first
                nn.init.zeros_(layer.conv[-1].weight)
                nn.init.zeros_(layer.conv[-1].bias)
    _scale(model.encoder.layers[-1], STRETCH, -STRETCH / 2)
    _scale(model.decoder.layers[0], 1 / STRETCH, 0.5)
    return model


def _pass_colours(layer: nn.Conv2d) -> None:
    """Makes three channels pass through, as the mean of four pixels where the layer halves the picture."""
    layer.weight[:3] = 0
    for i in range(3):
        layer.weight[i, i, 1, 1] = 1
        if layer.stride[0] == 2:
            layer.weight[i, i, 1:, 1:] = 0.25
    if layer.bias is not None:
        layer.bias[:3] = 0


def _scale(layer: Any, factor: float, shift: float) -> None:
    layer.weight[:3] *= factor
    layer.bias[:3] = shift


def train_autoencoder(seed: int, steps: int) -> Any:
    """Returns a trained one. It learns from parts of pictures, most of them with an edge."""
    rng = random.Random(seed + 2)
    scenes = training_scenes(rng)
    pictures = [pixels(paint(next(scenes), rng)) for _ in range(800)]
    model = make_autoencoder()
    optimizer = torch.optim.AdamW(model.decoder.parameters(), lr=3e-3, betas=(0.9, 0.99))
    shown = 0.0
    for step in range(steps):
        done = step / steps
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1.0, (step + 1) / 30) * min(1.0, 1.6 * (1 - done) + 0.01)
        batch = torch.stack([_part(rng.choice(pictures), rng) for _ in range(4)])
        latents = latents_of(batch)
        distance = model.decode(latents + NOISE * torch.randn_like(latents)).sample - batch
        optimizer.zero_grad()
        (distance.abs().mean() + distance.square().mean()).backward()
        torch.nn.utils.clip_grad_norm_(model.decoder.parameters(), 1.0)
        optimizer.step()
        l1 = distance.abs().mean().item()
        shown = l1 if not step else 0.96 * shown + 0.04 * l1
        if not step or (step + 1) % 50 == 0:
            print(f"autoencoder step {step + 1} L1 {shown:.4f}", flush=True)
    return model.eval()


def _part(picture: torch.Tensor, rng: random.Random) -> torch.Tensor:
    for _ in range(3):
        x, y = (rng.randrange(0, SIDE_PX - CROP_PX + 1, FACTOR) for _ in range(2))
        part = picture[:, y : y + CROP_PX, x : x + CROP_PX]
        if part.std(dim=(1, 2)).sum() > 0.1:
            break
    return part
