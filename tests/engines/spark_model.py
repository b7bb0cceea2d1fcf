"""A tiny Spark-TTS in the real format.

Its codec has random weights; its language half keeps to the order of a real one: 32 tokens of a voice, then tokens of
speech without end, each drawn from thousands.
"""

import json
import re
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

WIDTH = 32
STYLES = re.findall(
    r"\w+",
    "task_tts task_controllable_tts start_content end_content start_global_token end_global_token start_semantic_token "
    "end_semantic_token start_style_label end_style_label gender_0 gender_1",
)
LEVELS = [f"{kind}_label_{level}" for kind in ("pitch", "speed") for level in range(5)]
GLOBALS, SEMANTICS = 4096, 8192


def make(folder: Path) -> None:
    """Makes the folder: codec, features, language model."""
    torch.manual_seed(0)
    (folder / "BiCodec").mkdir(parents=True)
    (folder / "config.yaml").write_text("sample_rate: 16000\nlatent_hop_length: 320\nref_segment_duration: 6\n")
    _codec(folder / "BiCodec")
    _features(folder / "wav2vec2-large-xlsr-53")
    _language(folder / "LLM")


def _codec(folder: Path) -> None:
    from flashtts.audio.detokenizer.spark_detokenizer import SparkDeTokenizerModel
    from flashtts.audio.tokenizer.spark_tokenizer import SparkTokenizerModel

    vocos = {"vocos_dim": 32, "vocos_intermediate_dim": 64, "vocos_num_layers": 2}
    sides = {"input_channels": WIDTH, "out_channels": WIDTH, **vocos}
    parts: dict[str, Any] = {
        "mel_params": {
            "sample_rate": 16000, "n_fft": 1024, "win_length": 640, "hop_length": 320, "mel_fmin": 10,
            "mel_fmax": None, "num_mels": 128,
        },
        "encoder": {**sides, "sample_ratios": [1, 1]},
        "decoder": {"input_channel": WIDTH, "channels": 32, "rates": [8, 5, 4, 2], "kernel_sizes": [16, 11, 8, 4]},
        "quantizer": {
            "input_dim": WIDTH, "codebook_size": SEMANTICS, "codebook_dim": 8, "commitment": 0.25,
            "codebook_loss_weight": 2.0, "use_l2_normlize": True, "threshold_ema_dead_code": 0.2,
        },
        "speaker_encoder": {
            "input_dim": 128, "out_dim": WIDTH, "latent_dim": 16, "token_num": 32, "fsq_levels": [4] * 6,
            "fsq_num_quantizers": 1,
        },
        "prenet": {**sides, "condition_dim": WIDTH, "sample_ratios": [1, 1], "use_tanh_at_final": False},
        "postnet": {**sides, "use_tanh_at_final": False},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump({"audio_tokenizer": parts}))
    states = SparkDeTokenizerModel(parts).state_dict() | SparkTokenizerModel(parts).state_dict()
    save_file({name: value.contiguous().clone() for name, value in states.items()}, folder / "model.safetensors")


def _features(folder: Path) -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    config = Wav2Vec2Config(
        hidden_size=WIDTH, num_hidden_layers=17, num_attention_heads=2, intermediate_size=64, conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, feat_extract_norm="layer",
        do_stable_layer_norm=True, conv_bias=True,
    )  # fmt: skip
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder)


def _language(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2TokenizerFast  # type: ignore[attr-defined]

    made = Tokenizer(models.BPE())
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet, special_tokens=marks)
    made.train_from_iterator(["hello"], trainer)
    parts = json.loads(made.to_str())["model"]
    tokenizer: Any = Qwen2TokenizerFast(
        vocab=parts["vocab"], merges=[tuple(pair) for pair in parts["merges"]], eos_token="<|im_end|>"
    )
    sounds = [f"bicodec_global_{i}" for i in range(GLOBALS)] + [f"bicodec_semantic_{i}" for i in range(SEMANTICS)]
    tokenizer.add_tokens([f"<|{name}|>" for name in (*STYLES, *LEVELS, *sounds)])
    tokenizer.save_pretrained(folder)
    kinds = _kinds(tokenizer)
    size = 64
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=size, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=False, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():  # what comes next depends on the kind of the last token alone
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.nn.functional.one_hot(kinds, size))
        model.lm_head.weight.copy_(3.0 * _follows(kinds, size))
    model.save_pretrained(folder)


def _kinds(tokenizer: Any) -> torch.Tensor:
    """Returns the kind of each token: 0 to 31 parts of a voice, 32 speech, 33 its beginning, 34 anything else."""
    kinds = torch.full((len(tokenizer),), 34)
    for name, number in tokenizer.get_vocab().items():
        if name.startswith("<|bicodec_global_"):
            kinds[number] = int(name[17:-2]) // (GLOBALS // 32)
        elif name.startswith("<|bicodec_semantic_"):
            kinds[number] = 32
        elif name in ("<|start_semantic_token|>", "<|end_global_token|>"):
            kinds[number] = 33
    return kinds


def _follows(kinds: torch.Tensor, size: int) -> torch.Tensor:
    """Returns after which kinds each token comes: tokens × kinds."""
    follows = torch.zeros(len(kinds), size)
    for kind in range(1, 32):
        follows[kinds == kind, kind - 1] = 1
    follows[kinds == 0, 34] = 1
    follows[kinds == 33, 31] = 1
    follows[kinds == 32, 32:34] = 1
    return follows
