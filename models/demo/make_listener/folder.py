"""The model folder, in the format of the published SenseVoiceSmall, and a model of the library's classes in it."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import yaml

BPE_FILE = "chn_jpn_yue_eng_ko_spectok.bpe.model"
LANGUAGES = ("zh", "en", "yue", "ja", "ko", "nospeech")
TAGS = tuple(
    f"<|{tag}|>"
    for tag in (
        *LANGUAGES,
        *("Speech", "BGM", "Applause", "Laughter", "Event_UNK"),
        *("HAPPY", "SAD", "ANGRY", "NEUTRAL", "EMO_UNKNOWN"),
        *("withitn", "woitn"),
    )
)
"""What a SenseVoice says before the words: language, emotion, event, and whether it writes punctuation."""

FEATURES = 560
"""Of one frame: 80 mel bands of 7 neighbours, every 60 ms."""


def config(size: int, blocks: int) -> dict[str, Any]:
    """Returns `config.yaml`: that of SenseVoiceSmall but for the sizes, and without dither, whose noise is random."""
    return {
        "encoder": "SenseVoiceEncoderSmall",
        "encoder_conf": {
            "output_size": size,
            "attention_heads": 4,
            "linear_units": 2 * size,
            "num_blocks": blocks,
            "tp_blocks": 1,
            "dropout_rate": 0.1,
            "positional_dropout_rate": 0.1,
            "attention_dropout_rate": 0.1,
            "input_layer": "pe",
            "pos_enc_class": "SinusoidalPositionEncoder",
            "normalize_before": True,
            "kernel_size": 11,
            "sanm_shfit": 0,
            "selfattention_layer_type": "sanm",
        },
        "model": "SenseVoiceSmall",
        "model_conf": {"length_normalized_loss": True, "sos": 1, "eos": 2, "ignore_id": -1},
        "tokenizer": "SentencepiecesTokenizer",
        "tokenizer_conf": {"bpemodel": None, "unk_symbol": "<unk>", "split_with_space": True},
        "frontend": "WavFrontend",
        "frontend_conf": {
            "fs": 16000,
            "window": "hamming",
            "n_mels": 80,
            "frame_length": 25,
            "frame_shift": 10,
            "lfr_m": 7,
            "lfr_n": 6,
            "dither": 0.0,
            "cmvn_file": None,
        },
    }


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Writes `config.yaml`, and `configuration.json`, which says what the other files are."""
    text = yaml.safe_dump(settings, sort_keys=False)
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    files = {
        "init_param": "model.pt",
        "config": "config.yaml",
        "tokenizer_conf": {"bpemodel": BPE_FILE},
        "frontend_conf": {"cmvn_file": "am.mvn"},
    }
    described = {
        "framework": "pytorch",
        "task": "auto-speech-recognition",
        "model": {"type": "funasr"},
        "pipeline": {"type": "funasr-pipeline"},
        "file_path_metas": files,
    }
    (folder / "configuration.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


def write_normalisation(folder: Path, mean: torch.Tensor, deviation: torch.Tensor) -> None:
    """Writes `am.mvn`: what is added to each feature and what it is then multiplied by, as Kaldi writes it."""
    shift, scale = (" ".join(f"{one:.5f}" for one in row.tolist()) for row in (-mean, 1 / deviation))
    (folder / "am.mvn").write_text(
        f"<Nnet>\n<Splice> {FEATURES} {FEATURES}\n[ 0 ]\n"
        f"<AddShift> {FEATURES} {FEATURES}\n<LearnRateCoef> 0 [ {shift} ]\n"
        f"<Rescale> {FEATURES} {FEATURES}\n<LearnRateCoef> 0 [ {scale} ]\n</Nnet>\n",
        encoding="utf-8",
    )


def read_normalisation(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns mean and deviation of each feature."""
    rows = re.findall(r"<LearnRateCoef> 0 \[ (.*?) \]", (folder / "am.mvn").read_text(encoding="utf-8"))
    shift, scale = (torch.tensor([float(one) for one in row.split()]) for row in rows)
    return -shift, 1 / scale


def write_pieces(folder: Path, texts: Iterable[str], count: int) -> Any:
    """Trains and writes the sentencepiece model; returns it, loaded. Piece 0 is CTC's blank."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(folder / "bpe"),
        vocab_size=count,
        model_type="bpe",
        user_defined_symbols=list(TAGS),
        unk_id=0,
        bos_id=1,
        eos_id=2,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "bpe.vocab").unlink()
    (folder / "bpe.model").rename(folder / BPE_FILE)
    return read_pieces(folder)


def read_pieces(folder: Path) -> Any:
    """Returns the sentencepiece model of a folder."""
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_file=str(folder / BPE_FILE))


def new_model(settings: dict[str, Any], pieces: int) -> torch.nn.Module:
    """Returns a SenseVoiceSmall of the library's with random weights."""
    import funasr  # noqa: F401  registers the classes
    from funasr.register import tables

    parts = {key: settings[key] for key in ("encoder", "encoder_conf")} | settings["model_conf"]
    model: torch.nn.Module = tables.model_classes["SenseVoiceSmall"](input_size=FEATURES, vocab_size=pieces, **parts)
    return model


def write_weights(folder: Path, model: torch.nn.Module) -> None:
    """Writes `model.pt`: the weights in half precision, which the library makes whole again."""
    torch.save({name: value.half() for name, value in model.state_dict().items()}, folder / "model.pt")


def read_weights(folder: Path, model: torch.nn.Module) -> None:
    """Takes over the weights of a folder."""
    model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
