"""Models that tests make: a small vision-language model in its real on-disk format; what an adapter adds."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers as untyped
from safetensors import safe_open
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

transformers: Any = untyped  # its types know less than its code

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}"
    "{% if c.type in ('image', 'image_url') %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIZE = {"shortest_edge": 64 * 64, "longest_edge": 128 * 128}
RANK = 8


def vision_model(folder: Path) -> None:
    """Writes a Qwen3-VL of 0.7 million random weights, whose answers depend on the picture."""
    torch.manual_seed(0)
    tokenizer = _tokenizer()
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    ends = {"eos_token_id": ids["<|im_end|>"], "pad_token_id": ids["<|endoftext|>"]}
    model = transformers.Qwen3VLForConditionalGeneration(_config(len(tokenizer), ids, ends))
    for name, weights in model.named_parameters():
        if weights.ndim > 1 and "embed_tokens" not in name:
            torch.nn.init.normal_(weights, std=weights[0].numel() ** -0.5)
    model.generation_config = transformers.GenerationConfig(**ends)
    model.save_pretrained(folder)
    pictures: dict[str, Any] = {"size": SIZE, "patch_size": 16, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    transformers.Qwen3VLProcessor(
        transformers.Qwen2VLImageProcessor(**pictures),
        tokenizer,
        transformers.Qwen3VLVideoProcessor(**pictures),
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def llava_model(folder: Path) -> None:
    """Writes a LLaVA of random weights: other than in Qwen's models, positions count tokens, of pictures too."""
    torch.manual_seed(0)
    tokenizer = _tokenizer()
    image, end = (tokenizer.convert_tokens_to_ids(token) for token in ("<|image_pad|>", "<|im_end|>"))
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4}
    text = {"vocab_size": len(tokenizer), "hidden_size": 128, "intermediate_size": 256, "max_position_embeddings": 1024}
    vision = {"hidden_size": 64, "intermediate_size": 128, "image_size": 64, "patch_size": 16, "projection_dim": 64}
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**vision, **sizes),
        text_config=transformers.LlamaConfig(**text, **sizes, eos_token_id=end),
        image_token_id=image,
    )
    model = transformers.LlavaForConditionalGeneration(config)
    for name, weights in model.named_parameters():
        if weights.ndim > 1 and "embed_tokens" not in name:
            torch.nn.init.normal_(weights, std=weights[0].numel() ** -0.5)
    model.generation_config = transformers.GenerationConfig(eos_token_id=end)
    model.save_pretrained(folder)
    transformers.LlavaProcessor(
        transformers.CLIPImageProcessor(size={"height": 64, "width": 64}, crop_size={"height": 64, "width": 64}),
        tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        image_token="<|image_pad|>",
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer() -> Any:
    """Bytes and the special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytes_alone = Tokenizer(models.BPE(vocab={token: at for at, token in enumerate([*SPECIAL, *alphabet])}, merges=[]))
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bytes_alone.decoder = decoders.ByteLevel()
    bytes_alone.add_special_tokens(list(SPECIAL))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bytes_alone, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=1024
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _config(vocab_size: int, ids: dict[str, int], ends: dict[str, int]) -> Any:
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [6, 5, 5], "mrope_interleaved": True}
    text = transformers.Qwen3VLTextConfig(
        vocab_size=vocab_size,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        rope_parameters=rope,
        bos_token_id=ids["<|endoftext|>"],  # which real ones have, and LMDeploy asks for
        **ends,
    )
    vision: dict[str, Any] = {"depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "patch_size": 16}
    vision |= {"out_hidden_size": 128, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
    return transformers.Qwen3VLConfig(
        text_config=text.to_dict(),
        vision_config=vision,
        tie_word_embeddings=True,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|endoftext|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )


def merged(folder: Path, base: str) -> dict[str, torch.Tensor]:
    """Returns what an adapter adds to each weight of its base model, by name."""
    config = json.loads((folder / "adapter_config.json").read_text())
    scale = config["lora_alpha"] / config["r"]
    with safe_open(folder / "adapter_model.safetensors", "pt") as stored:
        names = [name.removesuffix(".lora_A.weight") for name in stored.keys() if "lora_A" in name]  # noqa: SIM118
        return {
            f"{name.removeprefix('base_model.model.')}.weight": scale
            * stored.get_tensor(f"{name}.lora_B.weight").float()
            @ stored.get_tensor(f"{name}.lora_A.weight").float()
            for name in names
        }
