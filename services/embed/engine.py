"""What an embed engine is: the whole contract between gRPC and a library.

The dataclasses mirror `gpt_server.embed.v1` field by field, under the same names; a test compares them. `None` means
unset, wherever the message's comment says what unset means. No protobuf and no gRPC here.

An engine only computes rows of numbers: raw vectors, raw scores, raw scores of labels. What is done to them
afterwards (shortened, scaled, squeezed into 0 to 1, ordered, packed) is the same for all, in `numbers.py`.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from gpt_server.services.common.content import Part as Part
from gpt_server.services.common.engines import Engine
from gpt_server.services.common.engines import EngineConfig as EngineConfig
from gpt_server.services.common.engines import Problem as Problem

VectorFormat = Literal["float32", "int8", "binary"]
Activation = Literal["none", "sigmoid", "softmax", "cosine"]
Capability = Literal["embedding", "rerank", "classification", "image_input"]
Rows: TypeAlias = npt.NDArray[np.float32]
"""n × d numbers, one row for each input."""


@dataclass(frozen=True, slots=True)
class Input:
    """What a model looks at: exactly one field is set. `parts` are texts and pictures that make one input."""

    text: str | None = None
    token_ids: Sequence[int] | None = None
    parts: Sequence[Part] | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two inputs that are looked at together: for rerankers, query and document."""

    first: Input
    second: Input


@dataclass(frozen=True, slots=True)
class InputOptions:
    """How inputs become tokens. At most one of `prompt_name` and `prompt` is set."""

    truncate_prompt_tokens: int | None = None
    prompt_name: str | None = None
    prompt: str | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """Inputs to turn into vectors."""

    model: str
    inputs: Sequence[Input]
    options: InputOptions = InputOptions()
    dimensions: int | None = None
    normalize: bool | None = None
    format: VectorFormat | None = None


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """A query, and documents to order by how well they answer it."""

    model: str
    query: Input
    documents: Sequence[Input]
    options: InputOptions = InputOptions()
    top_n: int | None = None
    raw_scores: bool | None = None


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Pairs to score."""

    model: str
    pairs: Sequence[Pair]
    options: InputOptions = InputOptions()
    raw_scores: bool | None = None


@dataclass(frozen=True, slots=True)
class ClassifyRequest:
    """Inputs to label."""

    model: str
    inputs: Sequence[Input]
    options: InputOptions = InputOptions()
    raw_scores: bool | None = None


@dataclass(frozen=True, slots=True)
class TokenizeRequest:
    """A text to turn into token ids."""

    model: str
    text: str
    add_special_tokens: bool | None = None
    return_token_strings: bool | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """The ids of a text and, if asked for, the tokens as the vocabulary writes them."""

    token_ids: Sequence[int]
    token_strings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """Inputs, or pairs, that an engine is to compute a row for each of, in their order.

    `paths`: how each is called in the request, for errors: `inputs[3]`, `documents[0]`.
    """

    items: Sequence[Input | Pair]
    paths: Sequence[str]
    options: InputOptions


@dataclass(slots=True)
class Prepared:
    """A task that was found valid. Engines subclass it to carry more."""

    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, in seconds. The servicer adds the time in the service's own queue to `queue_s`."""

    queue_s: float = 0.0
    tokenize_s: float = 0.0
    compute_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Computed:
    """A row for each item of a task, in order. `timings.tokenize_s` is the servicer's to fill in."""

    rows: Rows
    timings: Timings


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """What a loaded model is.

    Attributes:
        max_context_tokens: the most tokens of one input, special tokens included.
        dimensions: numbers in a vector; `None` if it makes none.
        matryoshka_dimensions: shorter lengths that it was trained for.
        prompts: its own prompts, by name; `default_prompt_name` is used when none is asked for.
        labels: of a classifier, in the order of its numbers.
        activation: what makes its raw scores lie between 0 and 1; of a cosine, (1 + it) / 2.
    """

    max_context_tokens: int
    capabilities: frozenset[Capability]
    dimensions: int | None = None
    matryoshka_dimensions: Sequence[int] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str = ""
    labels: Sequence[str] = ()
    activation: Activation = "none"

    def prompt_of(self, options: InputOptions) -> str:
        """Returns what stands before each text of a request; empty: nothing."""
        if options.prompt is not None:
            return options.prompt
        return self.prompts.get(options.prompt_name or self.default_prompt_name, "")

    def most_tokens(self, options: InputOptions) -> int:
        """Returns how long an input may be, or what it is cut to."""
        cut = options.truncate_prompt_tokens
        return self.max_context_tokens if cut is None or cut == -1 else cut


class EmbedEngine(Engine[ModelDetails]):
    """Runs one model in this process."""

    @abstractmethod
    async def prepare(self, task: Task) -> Prepared:
        """Validates a task and turns its items into tokens. Computes nothing.

        What does not depend on the model was checked before, and that the model does this kind of task.

        Raises:
            InvalidField: a value is not allowed, for example a prompt that the model does not have.
            UnsupportedFeature: the engine cannot honour something that is set.
            ContextLengthExceeded: an item is too long, and is not to be cut.
            InvalidMedia: a part cannot be decoded.
        """

    @abstractmethod
    async def compute(self, prepared: Prepared) -> Computed:
        """Returns a row for each item: a vector, one raw score, or one raw score for each label.

        Cancelling the task that awaits it takes what is not being computed out of the queue at once.

        Raises:
            EngineUnavailable: the engine has died.
        """

    @abstractmethod
    async def tokenize(self, request: TokenizeRequest) -> Tokens:
        """Turns a text into token ids, exactly as `prepare` would. Raises `UnsupportedFeature`."""
