"""Tiny audio models with random weights, in the formats in which such models are published."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml

from gpt_server.services.audio.engine import Samples
from models.demo.make_listener import folder as listener
from models.demo.make_listener.voices import Espeak

SENTENCE = "the meeting with julia is on march third and my number is six six nine zero"
LANGUAGES = ("en", "zh", "de", "fr", "ja")


@cache
def espeak() -> Espeak:
    """Returns the voice that tests listen to."""
    return Espeak()


def speech(text: str = SENTENCE) -> Samples:
    """Returns a sentence as it is spoken, 16 kHz."""
    return espeak().say(text, "en-us+f3", 150, 50)


def paraformer(folder: Path) -> None:
    """Makes a Paraformer whose vocabulary is a few words and characters."""
    import funasr  # noqa: F401  registers the classes
    from funasr.register import tables

    folder.mkdir()
    torch.manual_seed(0)
    words = re.findall(r"\w+", "light door window music timer seven three kitchen garden hello")
    tokens = ["<blank>", "<s>", "</s>", *words, *"你好世界天气", "<unk>"]
    sizes = {"attention_heads": 4, "linear_units": 64, "num_blocks": 2, "dropout_rate": 0.0}
    shapes = listener.config(32, 2)
    encoder = {key: value for key, value in shapes["encoder_conf"].items() if key != "tp_blocks"}
    settings: dict[str, Any] = {
        "model": "Paraformer",
        "model_conf": {"ctc_weight": 0.0, "predictor_weight": 1.0, "predictor_bias": 1, "sampling_ratio": 0.75},
        "encoder": "SANMEncoder",
        "encoder_conf": encoder,
        "decoder": "ParaformerSANMDecoder",
        "decoder_conf": {**sizes, "att_layer_num": 2, "kernel_size": 11, "sanm_shfit": 0},
        "predictor": "CifPredictorV2",
        "predictor_conf": {"idim": 32, "threshold": 1.0, "l_order": 1, "r_order": 1, "tail_threshold": 0.45},
        "frontend": "WavFrontend",
        "frontend_conf": shapes["frontend_conf"] | {"dither": 1.0},  # as published; the engine takes it away
        "tokenizer": "CharTokenizer",
        "tokenizer_conf": {"unk_symbol": "<unk>", "split_with_space": True},
    }
    parts = {key: settings[key] for key in ("encoder", "decoder", "predictor")}
    confs = {f"{key}_conf": settings[f"{key}_conf"] for key in parts}
    model = tables.model_classes["Paraformer"](
        input_size=listener.FEATURES, vocab_size=len(tokens), **parts, **confs, **settings["model_conf"]
    )
    torch.save(model.state_dict(), folder / "model.pt")
    listener.write_normalisation(folder, torch.full((560,), 8.0), torch.full((560,), 4.0))
    (folder / "tokens.json").write_text(json.dumps(tokens, ensure_ascii=False))
    (folder / "seg_dict").write_text("".join(f"{word} {word}\n" for word in words))
    (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    files = {
        "init_param": "model.pt",
        "config": "config.yaml",
        "tokenizer_conf": {"token_list": "tokens.json", "seg_dict_file": "seg_dict"},
        "frontend_conf": {"cmvn_file": "am.mvn"},
    }
    (folder / "configuration.json").write_text(json.dumps({"model": {"type": "funasr"}, "file_path_metas": files}))


def whisper(folder: Path) -> None:
    """Makes a multilingual Whisper whose tokeniser knows letters and a few words."""
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )

    folder.mkdir()
    torch.manual_seed(0)
    vocab, merges = _byte_pairs(SENTENCE)
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    tokenizer: Any = WhisperTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    marks = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{code}|>" for code in LANGUAGES)]
    marks += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    tokenizer.add_tokens([f"<|{second / 50:.2f}|>" for second in range(1501)])
    ids = {mark: tokenizer.convert_tokens_to_ids(mark) for mark in marks}
    end = ids["<|endoftext|>"]
    sizes: dict[str, Any] = {
        f"{side}_{kind}": 2 for side in ("encoder", "decoder") for kind in ("layers", "attention_heads")
    }
    config = WhisperConfig(
        vocab_size=len(tokenizer), d_model=32, encoder_ffn_dim=64, decoder_ffn_dim=64, num_mel_bins=80,
        max_target_positions=64, pad_token_id=end, bos_token_id=end, eos_token_id=end,
        decoder_start_token_id=ids["<|startoftranscript|>"], **sizes,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        bos_token_id=end, eos_token_id=end, pad_token_id=end, max_length=48,
        decoder_start_token_id=ids["<|startoftranscript|>"], is_multilingual=True,
        lang_to_id={f"<|{code}|>": ids[f"<|{code}|>"] for code in LANGUAGES},
        task_to_id={task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")},
        no_timestamps_token_id=ids["<|notimestamps|>"], prev_sot_token_id=ids["<|startofprev|>"],
        alignment_heads=[[0, 0], [1, 1]], max_initial_timestamp_index=50,
        suppress_tokens=[number for piece, number in vocab.items() if not _is_word(piece)],
        begin_suppress_tokens=[],
    )  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)


def _byte_pairs(text: str) -> tuple[dict[str, int], list[str]]:
    """Returns a byte-level vocabulary with the words of a text, and its merges."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator([text] * 3, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet))
    parts = json.loads(made.to_str())["model"]
    return parts["vocab"], [" ".join(pair) if isinstance(pair, list) else pair for pair in parts["merges"]]


def _is_word(piece: str) -> bool:
    return piece.removeprefix("Ġ").isascii() and piece.removeprefix("Ġ").isalpha()
