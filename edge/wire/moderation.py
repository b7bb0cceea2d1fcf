"""Labels of a classifier as OpenAI's moderation result: 13 categories, flagged by thresholds, and all labels."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gpt_server.edge.config import ModerationSettings
from gpt_server.edge.schemas.embed import ModerationRequest
from gpt_server.embed.v1 import embed_service_pb2 as pb

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
"""OpenAI's."""

LABELS: Mapping[str, str] = {
    # KoalaAI/Text-Moderation
    "S": "sexual",
    "H": "hate",
    "HR": "harassment",
    "SH": "self-harm",
    "S3": "sexual/minors",
    "H2": "hate/threatening",
    "V": "violence",
    "V2": "violence/graphic",
}
"""Labels of known models, and OpenAI's category that each means."""
SAFE_LABELS = frozenset({"ok", "safe", "neutral", "normal", "benign", "clean", "none"})
"""Labels, in lower case, that say that nothing is wrong."""


def moderation(body: ModerationRequest, model: str, answer: pb.ClassifyResponse, settings: ModerationSettings) -> bytes:
    """Returns the answer of /v1/moderations."""
    kinds = [_input_types(item) for item in body.input]
    results = [
        _result(dict(zip(answer.labels, result.scores, strict=True)), types, body.threshold, settings)
        for result, types in zip(answer.results, kinds, strict=True)
    ]
    return orjson.dumps({"id": f"modr-{uuid.uuid4().hex}", "model": model, "results": results})


def _result(
    labels: Mapping[str, float], types: Sequence[str], threshold: float | None, settings: ModerationSettings
) -> dict[str, Any]:
    scores = dict.fromkeys(CATEGORIES, 0.0)
    known: set[str] = set()
    others: list[bool] = []
    for label, score in labels.items():
        category = settings.labels.get(label) or LABELS.get(label) or label
        if category in scores:
            scores[category] = max(scores[category], score)
            known.add(category)
        elif label.lower() not in SAFE_LABELS | {name.lower() for name in settings.safe_labels}:
            others.append(score >= _threshold(label, threshold, settings))
    categories = {
        name: name in known and score >= _threshold(name, threshold, settings) for name, score in scores.items()
    }
    return {
        "flagged": any(categories.values()) or any(others),
        "categories": categories,
        "category_scores": scores,
        "category_applied_input_types": {name: list(types) if name in known else [] for name in CATEGORIES},
        "labels": dict(labels),
    }


def _threshold(name: str, asked: float | None, settings: ModerationSettings) -> float:
    return settings.thresholds.get(name, settings.threshold) if asked is None else asked


def _input_types(item: Any) -> list[str]:
    if isinstance(item, str):
        return ["text"]
    names = {"text": "text", "image_url": "image"}
    return [name for kind, name in names.items() if any(part.type == kind for part in item)]
