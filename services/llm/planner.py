"""From a request to its prompt's tokens and to the readers of its text, for engines whose library takes token ids."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import xgrammar
from PIL.Image import Image

from gpt_server.services.common.errors import UnsupportedFeature
from gpt_server.services.llm import grammar, pictures
from gpt_server.services.llm.choice import CallReader, Choice, ReasoningReader
from gpt_server.services.llm.engine import Chat, GenerateRequest, ModelDetails, Prepared, TokenizeRequest
from gpt_server.services.llm.prompt import adds_special_tokens, bad_words, check_ids, reasoning_is_closed
from gpt_server.services.llm.prompt import reasoning_is_open as is_open
from gpt_server.services.llm.render import render
from gpt_server.services.llm.text import Detokenizer
from gpt_server.services.llm.vocabulary import Vocabulary


@dataclass(slots=True)
class TextPlan(Prepared):
    """A request that was found valid.

    Attributes:
        reasons: whether reasoning is told from the answer, and is counted.
        opened: whether the prompt ends inside the reasoning.
        closed: whether it ends right behind it.
        calls: whether calls are looked for.
    """

    reasons: bool = False
    opened: bool = False
    closed: bool = False
    calls: bool = False


class Reasoning(ReasoningReader, Protocol):
    """A reader of reasoning that says what marks it."""

    @property
    def begin(self) -> str:
        """What opens the reasoning."""

    @property
    def end(self) -> str:
        """What closes it."""


class Model(Protocol):
    """What a planner has to know of a model.

    Attributes:
        tokenizer: of transformers.
        details: what the model is.
        vocabulary: its tokens.
        hidden: special tokens that leave no text, those excepted that readers look for.
        reasoning_parser: a name, or `None`.
        tool_parser: a name, or `None`.
        call_form: how calls are written; `None`: they cannot be enforced.
        max_pictures: how many a prompt may have; `None`: any number.
    """

    @property
    def tokenizer(self) -> Any: ...
    @property
    def details(self) -> ModelDetails: ...
    @property
    def vocabulary(self) -> Vocabulary: ...
    @property
    def hidden(self) -> frozenset[int]: ...
    @property
    def reasoning_parser(self) -> str | None: ...
    @property
    def tool_parser(self) -> str | None: ...
    @property
    def call_form(self) -> grammar.CallForm | None: ...
    @property
    def max_pictures(self) -> int | None: ...


ModelT = TypeVar("ModelT", bound=Model)
PlanT = TypeVar("PlanT", bound=TextPlan)


class TextPlanner(ABC, Generic[ModelT, PlanT]):
    """Turns requests into plans. A tokenizer must not be used by two threads at a time: plan in one alone."""

    #: The engine's plan: made of a request and no tokens yet.
    plan_type: ClassVar[Any]

    def __init__(self, model: ModelT) -> None:
        self._model = model

    @abstractmethod
    def plan(self, request: GenerateRequest) -> PlanT:
        """Checks a request, renders and tokenises its prompt. Raises as `LLMEngine.prepare`."""

    @abstractmethod
    def _reasoning(self, plan: PlanT) -> Reasoning:
        """Returns a reader of the model's reasoning."""

    @abstractmethod
    def _calls(self, parser: str, chat: Chat) -> CallReader:
        """Returns a reader of calls."""

    @abstractmethod
    def _begins_inside(self, plan: PlanT) -> bool:
        """Whether the model begins inside the reasoning even when the prompt does not show it."""

    @abstractmethod
    def _see(self, plan: PlanT, rendered: str, shown: Sequence[Image], special: bool) -> Sequence[int]:
        """Returns the ids of a prompt with pictures, and notes what becomes of them."""

    def tokenize(self, request: TokenizeRequest) -> Sequence[int]:
        """Returns the ids of a prompt. Raises as `LLMEngine.prepare`."""
        wanted = GenerateRequest(
            "", request.model, chat=request.chat, text=request.text, add_special_tokens=request.add_special_tokens
        )
        return self._prompt(self.plan_type(wanted, ()))[1]

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Returns the text of ids, special tokens included."""
        check_ids("token_ids", token_ids, self._model.details.vocab_size)
        tokenizer = self._model.tokenizer
        decoded = tokenizer.decode(list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(decoded)

    def choices(self, plan: PlanT) -> Sequence[Choice]:
        """Returns what the choices of a request are read with."""
        model, request = self._model, plan.request
        skipped = model.hidden if request.sampling.skip_special_tokens is not False else frozenset()
        found = []
        for number in range(request.sampling.n or 1):
            reasoning = self._reasoning(plan) if plan.reasons and not plan.closed else None
            calls = None
            if plan.calls and request.chat is not None and model.tool_parser:
                calls = self._calls(model.tool_parser, request.chat)
            detokenizer = Detokenizer(model.vocabulary.token_bytes.__getitem__, skipped)
            found.append(Choice(number, request, detokenizer, reasoning, calls))
        return found

    def _prompt(self, plan: PlanT) -> tuple[str, list[int]]:
        """Returns the prompt as text and as ids."""
        model, request = self._model, plan.request
        if request.token_ids is not None:
            check_ids("token_ids.ids", request.token_ids, model.details.vocab_size)
            return "", list(request.token_ids)
        special = adds_special_tokens(request)
        if request.chat is None:
            return "", self._encode(request.text or "", special)
        details, thinks = model.details, model.reasoning_parser is not None
        sees = "image_input" in details.capabilities
        rendered = render(model.tokenizer, details.chat_template, request.chat, request.reasoning, thinks, sees)
        shown = pictures.of_chat(request.chat, model.max_pictures)
        ids = self._see(plan, rendered, shown, special) if shown else self._encode(rendered, special)
        return rendered, list(ids)

    def _plan_parsing(self, plan: PlanT, chat: Chat, prompt: str) -> None:
        """Decides what is looked for in the answer."""
        mode = chat.tool_choice.mode if chat.tool_choice else "auto"
        plan.calls = bool(chat.tools) and mode != "none"
        if plan.calls and self._model.tool_parser is None:
            raise UnsupportedFeature("chat.tools", "this model calls no tools, as far as its chat template says")
        plan.reasons = self._model.reasoning_parser is not None
        if plan.reasons:
            reader = self._reasoning(plan)
            plan.closed = reasoning_is_closed(prompt, reader.end)
            opens = self._begins_inside(plan) or is_open(prompt, chat, reader.begin, reader.end)
            plan.opened = not plan.closed and opens

    def _bad_words(self, plan: PlanT) -> Sequence[Sequence[int]]:
        return bad_words(plan.request.sampling.bad_words, lambda word: self._encode(word, special=False))

    def _thinking(self, plan: PlanT) -> Mapping[str, Any]:
        """Returns how the reasoning is limited: what opens and closes it, and its most tokens; nothing: it is not."""
        reasoning = plan.request.reasoning
        if not plan.reasons or plan.closed or reasoning is None or reasoning.max_tokens is None:
            return {}
        reader = self._reasoning(plan)
        begin = () if plan.opened else tuple(self._encode(reader.begin, special=False))
        end = tuple(self._encode(reader.end, special=False))
        return {"think_begin": begin, "think_end": end, "think_tokens": reasoning.max_tokens}

    def _rules(self, plan: PlanT) -> xgrammar.Grammar | None:
        """Returns the form that the output must have; `None`: any."""
        form = self._model.call_form if plan.calls else None
        if plan.calls and form is None and _must_keep_form(plan.request):
            raise UnsupportedFeature("chat.tool_choice", "calls of this model's dialect cannot be enforced")
        rules = grammar.of_request(plan.request, form)
        if rules is None or not plan.reasons or plan.closed:
            return rules
        reader = self._reasoning(plan)
        return grammar.after_thinking(rules, reader.begin, reader.end, plan.opened)

    def _encode(self, text: str, special: bool) -> list[int]:
        return list(self._model.tokenizer.encode(text, add_special_tokens=special))


def _must_keep_form(request: GenerateRequest) -> bool:
    chat = request.chat
    choice = chat.tool_choice if chat else None
    return bool((choice and choice.mode == "required") or (chat and any(tool.strict for tool in chat.tools)))
