"""Write and read the model folder in the Hugging Face format that every engine understands."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from .encode import token_id
from .tables import words

CONFIG_KEYS = words(
    "architectures attention_bias attention_dropout bos_token_id eos_token_id head_dim hidden_act "
    "hidden_size initializer_range intermediate_size max_position_embeddings max_window_layers "
    "model_type num_attention_heads num_hidden_layers num_key_value_heads pad_token_id rms_norm_eps "
    "sliding_window tie_word_embeddings use_cache use_sliding_window vocab_size"
)


def tokenizer_config(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Written by hand: the saved form of transformers 5 is not read by older engines."""
    added = {
        str(number): {
            "content": token.content,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": token.special,
        }
        for number, token in sorted(tokenizer.added_tokens_decoder.items())
    }
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 4096,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": None,
    }


def model_config(model: Qwen3ForCausalLM, dtype: torch.dtype) -> dict[str, Any]:
    """The config, with the older spelling of two keys for engines on transformers 4."""
    config = model.config.to_dict()
    kept = {key: config[key] for key in CONFIG_KEYS if key in config}
    name = str(dtype).removeprefix("torch.")
    return {
        **kept,
        "architectures": ["Qwen3ForCausalLM"],
        "dtype": name,
        "torch_dtype": name,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "rope_theta": 10000.0,
    }


def publish(
    tokenizer: PreTrainedTokenizerFast,
    model: Qwen3ForCausalLM,
    folder: Path,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write all files beside the folder first, then move each into place."""
    folder.mkdir(parents=True, exist_ok=True)
    generation = {
        "do_sample": False,
        "eos_token_id": [token_id(tokenizer, "<|im_end|>"), token_id(tokenizer, "<|endoftext|>")],
        "pad_token_id": token_id(tokenizer, "<|endoftext|>"),
    }
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        draft = Path(name)
        weights = {
            key: value.detach().to(dtype).contiguous()
            for key, value in model.state_dict().items()
            if key != "lm_head.weight"  # tied to the embedding
        }
        save_file(weights, draft / "model.safetensors", metadata={"format": "pt"})
        tokenizer.backend_tokenizer.save(str(draft / "tokenizer.json"))
        (draft / "chat_template.jinja").write_text(str(tokenizer.chat_template), encoding="utf-8")
        for file, content in (
            ("tokenizer_config.json", tokenizer_config(tokenizer)),
            ("config.json", model_config(model, dtype)),
            ("generation_config.json", generation),
        ):
            text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            (draft / file).write_text(text, encoding="utf-8")
        for path in draft.iterdir():
            path.chmod(0o644)
            path.replace(folder / path.name)


def load(folder: Path) -> tuple[PreTrainedTokenizerFast, Qwen3ForCausalLM]:
    """Read a model folder in fp32."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return tokenizer, model
