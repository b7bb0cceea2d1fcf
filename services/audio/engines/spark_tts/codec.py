"""The codec, BiCodec: sound to tokens and back, by classes of flashtts (MIT), taken from Spark-TTS (Apache-2.0)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flashtts.audio.detokenizer.spark_detokenizer import SparkDeTokenizerModel
from flashtts.audio.tokenizer.spark_tokenizer import SparkTokenizer, SparkTokenizerModel
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model
from transformers.utils.logging import disable_progress_bar

from gpt_server.services.audio.engine import Samples

SAMPLE_RATE_HZ = 16_000
TOKEN_SAMPLES = 320
FEATURE_LAYERS = (11, 14, 16)
"""Layers of wav2vec 2.0 whose mean the codec listens to."""


class Codec:
    """The codec of one model folder. It belongs to one thread."""

    def __init__(self, folder: Path, device: str) -> None:
        disable_progress_bar()  # the log of a service is lines, perhaps of JSON
        self._device = torch.device(device)
        features = folder / "wav2vec2-large-xlsr-53"
        self._extractor: Any = Wav2Vec2FeatureExtractor.from_pretrained(features)
        model: Any = Wav2Vec2Model.from_pretrained(features)
        self._features = model.to(self._device).eval()
        self._encoder = SparkTokenizerModel.from_pretrained(str(folder / "BiCodec")).to(self._device)
        self._decoder = SparkDeTokenizerModel.from_pretrained(str(folder / "BiCodec")).to(self._device)

    @torch.inference_mode()
    def encode(self, samples: Samples) -> tuple[list[int], list[int]]:
        """Returns the global and the semantic tokens of a recording."""
        inputs = self._extractor([samples], sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt").to(self._device)
        layers = self._features(inputs.input_values, output_hidden_states=True).hidden_states
        heard = sum(layers[number] for number in FEATURE_LAYERS) / len(FEATURE_LAYERS)
        clip = torch.from_numpy(SparkTokenizer.get_ref_clip(samples))[None].to(self._device)
        found = self._encoder(heard, clip)
        return found["global_tokens"].flatten().tolist(), found["semantic_tokens"].flatten().tolist()

    @torch.inference_mode()
    def decode(self, voice: Sequence[int], semantic: Sequence[int]) -> Samples:
        """Returns the sound of semantic tokens in a voice: 320 samples for each."""
        spoken = torch.tensor([semantic], device=self._device)
        sound = self._decoder(spoken, torch.tensor([[voice]], device=self._device))
        samples: Samples = sound.flatten()[: len(semantic) * TOKEN_SAMPLES].float().cpu().numpy()
        return np.clip(samples, -1, 1)
