"""Values that no engine accepts: what the comments of `gpt_server.embed.v1` rule out, and what a model's details do.

Each check names the field by its path in the request and says what is allowed. What depends on tokens is the engine's
to check.
"""

from collections.abc import Sequence

from gpt_server.services.common.errors import InvalidField, UnsupportedFeature, WrongModelKind
from gpt_server.services.embed.engine import (
    Capability,
    ClassifyRequest,
    EmbedRequest,
    Input,
    InputOptions,
    ModelDetails,
    RerankRequest,
    ScoreRequest,
)

MAX_INPUTS = 10_000
DOES: dict[Capability, str] = {
    "embedding": "embeddings",
    "rerank": "reranking",
    "classification": "classification",
}


def check_kind(model: str, details: ModelDetails, wanted: Capability) -> None:
    """Raises `WrongModelKind` if the model does not do what is wanted."""
    if wanted not in details.capabilities:
        does = " and ".join(what for kind, what in DOES.items() if kind in details.capabilities)
        raise WrongModelKind(f"model {model!r} does {does}, not {DOES[wanted]}")


def check_embed(request: EmbedRequest, details: ModelDetails) -> None:
    """Raises `InvalidField` or `UnsupportedFeature` for the first value that is not allowed."""
    _check_inputs(request.inputs, "inputs", details)
    _check_options(request.options, details)
    _check_dimensions(request.dimensions, details)
    if request.format == "int8" and request.normalize is False:
        raise InvalidField("format", "int8 is for vectors of length 1: leave normalize unset")


def check_rerank(request: RerankRequest, details: ModelDetails) -> None:
    """Raises `InvalidField` or `UnsupportedFeature` for the first value that is not allowed."""
    _check_input(request.query, "query", details)
    _check_inputs(request.documents, "documents", details)
    _check_options(request.options, details)
    if request.top_n is not None:
        _require(request.top_n >= 1, "top_n", f"must be at least 1; got {request.top_n}")


def check_score(request: ScoreRequest, details: ModelDetails) -> None:
    """Raises `InvalidField` or `UnsupportedFeature` for the first value that is not allowed."""
    _check_count(len(request.pairs), "pairs")
    for i, pair in enumerate(request.pairs):
        _check_input(pair.first, f"pairs[{i}].first", details)
        _check_input(pair.second, f"pairs[{i}].second", details)
    _check_options(request.options, details)


def check_classify(request: ClassifyRequest, details: ModelDetails) -> None:
    """Raises `InvalidField` or `UnsupportedFeature` for the first value that is not allowed."""
    _check_inputs(request.inputs, "inputs", details)
    _check_options(request.options, details)


def check_text(text: str) -> None:
    """Raises `InvalidField` if a text to tokenise is empty."""
    _require(text, "text", "must not be empty")


def _check_count(count: int, path: str) -> None:
    _require(1 <= count <= MAX_INPUTS, path, f"must have 1 to {MAX_INPUTS} items; got {count}")


def _check_inputs(inputs: Sequence[Input], path: str, details: ModelDetails) -> None:
    _check_count(len(inputs), path)
    for i, one in enumerate(inputs):
        _check_input(one, f"{path}[{i}]", details)


def _check_input(given: Input, path: str, details: ModelDetails) -> None:
    if given.text is not None:
        _require(given.text, f"{path}.text", "must not be empty")
    if given.token_ids is not None:
        _require(given.token_ids, f"{path}.token_ids.ids", "must have at least one id")
        for i, token_id in enumerate(given.token_ids):
            _require(token_id >= 0, f"{path}.token_ids.ids[{i}]", f"must be a token id, at least 0; got {token_id}")
    if given.parts is not None:
        _require(given.parts, f"{path}.parts.parts", "must have at least one part")
        for i, part in enumerate(given.parts):
            at = f"{path}.parts.parts[{i}]"
            if part.audio is not None or part.file is not None:
                raise UnsupportedFeature(at, "must be a text or a picture; this model takes no other media")
            if part.image is not None:
                if "image_input" not in details.capabilities:
                    raise UnsupportedFeature(f"{at}.image", "this model does not take pictures")
                _require(part.image.media.content, f"{at}.image.media.content", "must have at least one byte")
            else:
                _require(part.text, f"{at}.text", "must not be empty")


def _check_options(options: InputOptions, details: ModelDetails) -> None:
    cut = options.truncate_prompt_tokens
    if cut is not None:
        limit = details.max_context_tokens
        message = f"must be -1, or between 1 and the model's {limit}; got {cut}"
        _require(cut == -1 or 1 <= cut <= limit, "options.truncate_prompt_tokens", message)
    name = options.prompt_name
    if name is not None and name not in details.prompts:
        has = f"one of the model's prompts: {', '.join(details.prompts)}" if details.prompts else "unset"
        raise InvalidField("options.prompt_name", f"must be {has}; got {name!r}")


def _check_dimensions(dimensions: int | None, details: ModelDetails) -> None:
    if dimensions is None or dimensions == details.dimensions:
        return
    if not details.matryoshka_dimensions:
        message = f"this model was not trained for shorter vectors; it makes {details.dimensions} numbers"
        raise UnsupportedFeature("dimensions", message)
    allowed = sorted({*details.matryoshka_dimensions, details.dimensions or 0})
    message = f"must be one of {', '.join(map(str, allowed))}; got {dimensions}"
    _require(dimensions in allowed, "dimensions", message)


def _require(holds: object, path: str, message: str) -> None:
    if not holds:
        raise InvalidField(path, message)
