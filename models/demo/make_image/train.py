"""Trains demo-image on a CPU for a given number of minutes.

    nice -n 19 python -m models.demo.make_image.train --minutes 45 --work build/demo-image --publish models/demo/image

First the text encoders and the autoencoder, then the picture model between them: FLUX's transformer with a rectified
flow. Its learning rate follows the wall clock, so that a busy machine ends with fewer steps but still with a finished
schedule. `--work` keeps what is done; `--resume` goes on from it.
"""

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

from models.demo.make_image.autoencoder import CHANNELS, FACTOR, latents_of, pixels, train_autoencoder
from models.demo.make_image.scenes import SIDE_PX, Scene, describe, paint, training_scenes
from models.demo.make_image.text import WIDTH, Text, train_text

SEED = 1
PICTURES, CAPTIONS = 4000, 3
T5_TOKENS = 4
"""Of a caption that the picture model sees one by one; CLIP's vector is of the whole."""
BATCH = 24
RATE = 0.002
WARM_STEPS, DECAY_FROM = 50, 0.4
EDGE_WEIGHT = 2.0
"""How much more a patch with an edge counts than a flat one."""
UNCONDITIONAL = 0.05
"""Share of pictures without a caption: it lets callers use a negative prompt."""
PATCHES = SIDE_PX // FACTOR // 2


def make_transformer() -> Any:
    """Returns FLUX's transformer of about half a million parameters, each block an identity at first."""
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * CHANNELS,
        num_layers=0,
        num_single_layers=4,
        attention_head_dim=32,
        num_attention_heads=3,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        axes_dims_rope=(8, 12, 12),
        guidance_embeds=False,
    )
    for name, parameter in model.named_parameters():
        if (".norm" in name and ".linear." in name) or name.startswith("proj_out"):
            torch.nn.init.zeros_(parameter)
    model.set_attention_backend("_native_math")  # its backward pass is quicker on a CPU
    return model


def packed(latents: torch.Tensor) -> torch.Tensor:
    """Returns latents (n, c, h, w) as FLUX's patches (n, h/2 · w/2, 4c)."""
    n, c, h, w = latents.shape
    return latents.view(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(n, h * w // 4, c * 4)


class Examples:
    """Pictures as patches, and captions as vectors, made once.

    Attributes:
        patches: (PICTURES, PATCHES², 4 · CHANNELS), mean 0, standard deviation 1.
        weights: (PICTURES, PATCHES²), how much each patch counts.
        tokens, pooled: of each picture's captions; the last row of each is the empty caption.
    """

    def __init__(self, autoencoder: AutoencoderTiny, text: Text, seed: int) -> None:
        rng = random.Random(seed + 3)
        stream = training_scenes(rng)
        scenes = [next(stream) for _ in range(PICTURES)]
        latents = self._encoded(scenes, rng)
        shift, scale = latents.mean().item(), latents.std().item()
        autoencoder.register_to_config(shift_factor=shift, scaling_factor=1 / scale)
        self.patches = packed((latents - shift) / scale)
        spread = self.patches.view(PICTURES, PATCHES**2, CHANNELS, 4).std(dim=3).mean(dim=2)
        self.weights = 1 + (EDGE_WEIGHT - 1) * (spread > 0.15).float()
        self.weights /= self.weights.mean()
        print(
            f"latents: mean {shift:.3f}, deviation {scale:.3f}; edges {(spread > 0.15).float().mean():.2f}", flush=True
        )
        text.t5_tokens = T5_TOKENS
        captions = [describe(scene, rng) for scene in scenes for _ in range(CAPTIONS)] + [""]
        with torch.inference_mode():
            made = [text(captions[i : i + 250]) for i in range(0, len(captions), 250)]
        self.tokens = torch.cat([tokens for tokens, _ in made]).clone()
        self.pooled = torch.cat([pooled for _, pooled in made]).clone()

    @staticmethod
    def _encoded(scenes: Sequence[Scene], rng: random.Random) -> torch.Tensor:
        found = []
        for i in range(0, len(scenes), 100):
            batch = torch.stack([pixels(paint(scene, rng)) for scene in scenes[i : i + 100]])
            found.append(latents_of(batch))
        return torch.cat(found)

    def batch(self) -> tuple[torch.Tensor, ...]:
        """Returns patches, weights, tokens and pooled vectors of some pictures."""
        chosen = torch.randint(PICTURES, (BATCH,))
        captions = chosen * CAPTIONS + torch.randint(CAPTIONS, (BATCH,))
        captions[torch.rand(BATCH) < UNCONDITIONAL] = PICTURES * CAPTIONS
        return self.patches[chosen], self.weights[chosen], self.tokens[captions], self.pooled[captions]


def rate(done: float, step: int) -> float:
    """Warm up, stay, then go down to nearly zero; `done` is the elapsed share of the time."""
    return min(1.0, (step + 1) / WARM_STEPS) * min(1.0, max(0.01, (1.0 - done) / (1.0 - DECAY_FROM)))


class Trainer:
    """One training run."""

    def __init__(self, flags: argparse.Namespace) -> None:
        self.flags = flags
        self.work = Path(flags.work)
        self.work.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(SEED)
        torch.set_num_threads(flags.threads)
        self.text = self._kept("text", lambda: train_text(SEED, 350))
        self.autoencoder = self._kept("autoencoder", lambda: train_autoencoder(SEED, 350))
        self.examples: Examples = self._kept("examples", lambda: Examples(self.autoencoder, self.text, SEED))
        self.autoencoder = self._kept("autoencoder-scaled", lambda: self.autoencoder)
        self.model = make_transformer()
        self.step, self.before_s = 0, 0.0
        self.average = [p.detach().clone() for p in self.model.parameters()]
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
        if flags.resume:
            self._load()
        self.places = FluxPipeline._prepare_latent_image_ids(1, PATCHES, PATCHES, torch.device("cpu"), torch.float32)
        self.text_places = torch.zeros(T5_TOKENS, 3)

    def _kept(self, name: str, make: Any) -> Any:
        """Returns what an earlier run left in the work folder, or makes it."""
        file = self.work / f"{name}.pt"
        if not file.exists():
            began_s = time.monotonic()
            torch.save(make(), file)
            print(f"{name}: {time.monotonic() - began_s:.0f} s", flush=True)
        return torch.load(file, weights_only=False)

    def _load(self) -> None:
        state = torch.load(self.work / "state.pt", weights_only=False)
        self.step, self.before_s, self.average = state["step"], state["seconds"], state["average"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def run(self) -> None:
        """Trains until the minutes are over."""
        budget_s, began_s = self.flags.minutes * 60, time.monotonic()
        saved_s, shown = began_s, 0.0
        self.model.train()
        while (seconds := self.before_s + time.monotonic() - began_s) < budget_s:
            loss = self.learn(rate(seconds / budget_s, self.step))
            self.step += 1
            shown = loss if not shown else 0.97 * shown + 0.03 * loss
            if self.step <= 3 or self.step % 50 == 0:
                print(f"step {self.step} {seconds:.0f} s loss {shown:.4f}", flush=True)
            if time.monotonic() - saved_s > self.flags.save_seconds:
                saved_s = time.monotonic()
                self.save(seconds)
        self.save(budget_s)
        if self.flags.publish:
            self.publish(Path(self.flags.publish))

    def learn(self, factor: float) -> float:
        """Takes one step; returns the loss."""
        patches, weights, tokens, pooled = self.examples.batch()
        noise = torch.randn_like(patches)
        share = torch.sigmoid(torch.randn(BATCH) * 1.2 + 0.5)
        uniform = torch.rand(BATCH) < 0.3
        share[uniform] = torch.rand(int(uniform.sum()))
        mixed = torch.lerp(patches, noise, share[:, None, None])
        found = self.model(
            hidden_states=mixed,
            encoder_hidden_states=tokens,
            pooled_projections=pooled,
            timestep=share,
            img_ids=self.places,
            txt_ids=self.text_places,
            return_dict=False,
        )[0]
        errors = (found - (noise - patches)).square().mean(dim=2)
        (errors * weights).mean().backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.param_groups[0]["lr"] = RATE * factor
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        keep = min(0.995, (self.step + 1) / (self.step + 10))
        torch._foreach_lerp_(self.average, [p.detach() for p in self.model.parameters()], 1 - keep)
        return float(errors.mean())

    def save(self, seconds: float) -> None:
        """Keeps a state to go on from, and a model to look at."""
        state = {
            "step": self.step,
            "seconds": seconds,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, self.work / "state.tmp")
        (self.work / "state.tmp").replace(self.work / "state.pt")
        self.publish(self.work / "last")

    def publish(self, folder: Path) -> None:
        """Writes the pipeline in diffusers' format, in bfloat16, with the average of the weights."""
        model = make_transformer()
        with torch.no_grad():
            for parameter, average in zip(model.parameters(), self.average, strict=True):
                parameter.copy_(average)
        pipeline: Any = FluxPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
            vae=_widened_autoencoder(self.autoencoder),
            text_encoder=self.text.clip,
            tokenizer=self.text.clip_tokenizer,
            text_encoder_2=self.text.t5,
            tokenizer_2=self.text.t5_tokenizer,
            transformer=_widened_transformer(model),
        )
        # Copies: what trains goes on in float32.
        draft = folder.with_name(f"{folder.name}.draft")
        pipeline.save_pretrained(draft)
        halved: Any = FluxPipeline.from_pretrained(draft, dtype=torch.bfloat16)
        halved.save_pretrained(folder)


def _widened_autoencoder(narrow: Any) -> Any:
    """Returns it with a fourth latent that is always 0: the library takes three for the pixels of a picture."""
    wide: Any = AutoencoderTiny.from_config({**narrow.config, "latent_channels": CHANNELS + 1})
    return _filled(wide, narrow)


def _widened_transformer(narrow: Any) -> Any:
    """Returns it for four latents; it neither looks at the fourth nor changes it."""
    wide: Any = FluxTransformer2DModel.from_config({**narrow.config, "in_channels": 4 * (CHANNELS + 1)})
    return _filled(wide, narrow)


@torch.no_grad()
def _filled(wide: Any, narrow: Any) -> Any:
    """Returns a larger model with the weights of a smaller one, zeros beside them."""
    old = narrow.state_dict()
    for name, parameter in wide.state_dict().items():
        parameter.zero_()
        parameter[tuple(slice(0, size) for size in old[name].shape)] = old[name]
    return wide


def main() -> None:
    """Reads the command line and trains."""
    parser = argparse.ArgumentParser(description="Trains demo-image.")
    parser.add_argument("--minutes", type=float, default=45, help="of the picture model")
    parser.add_argument("--work", default="build/demo-image")
    parser.add_argument("--publish", default="")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-seconds", type=float, default=240)
    Trainer(parser.parse_args()).run()


if __name__ == "__main__":
    main()
