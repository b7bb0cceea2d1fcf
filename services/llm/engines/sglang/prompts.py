"""A request, found valid and with its prompt tokenised: what SGLang's tokenizer manager takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import xgrammar

from gpt_server.services.common.errors import InvalidField, UnsupportedFeature
from gpt_server.services.llm import grammar, pictures
from gpt_server.services.llm.choice import Choice
from gpt_server.services.llm.engine import Chat, GenerateRequest, Prepared, TokenizeRequest
from gpt_server.services.llm.engines.sglang import sampling
from gpt_server.services.llm.engines.sglang.model import LoadedModel
from gpt_server.services.llm.engines.sglang.parsers import Calls, Reasoning
from gpt_server.services.llm.engines.sglang.shaping import Wishes
from gpt_server.services.llm.forms import text
from gpt_server.services.llm.prompt import (
    bad_words,
    check_ids,
    check_sampled_ids,
    fit,
    reasoning_is_closed,
    reasoning_is_open,
)
from gpt_server.services.llm.render import render
from gpt_server.services.llm.text import Detokenizer


@dataclass(slots=True)
class Plan(Prepared):
    """A request that was found valid.

    Attributes:
        params: SGLang's sampling parameters, without what differs between choices.
        wishes: what SGLang has no parameters for, one for each choice.
        rendered: the prompt as text, where it has pictures: SGLang finds their places in it.
        pictures: the pictures, decoded.
        reasons: whether reasoning is told from the answer, and is counted.
        opened: whether the prompt ends inside the reasoning.
        closed: whether it ends right behind it.
        calls: whether calls are looked for.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    wishes: Sequence[Wishes] = ()
    rendered: str = ""
    pictures: Sequence[Any] = ()
    reasons: bool = False
    opened: bool = False
    closed: bool = False
    calls: bool = False


class Planner:
    """Turns requests into plans. A tokenizer must not be used by two threads at a time: plan in one alone."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model

    def plan(self, request: GenerateRequest) -> Plan:
        """Checks a request, renders and tokenises its prompt. Raises as `LLMEngine.prepare`."""
        details = self._model.details
        check_sampled_ids(request.sampling, details.vocab_size)
        plan = Plan(request, ())
        rendered, prompt = self._prompt(plan)
        plan.prompt_token_ids, max_tokens = fit(request, prompt, details.max_context_tokens, not plan.pictures)
        if request.chat is not None:
            self._plan_parsing(plan, request.chat, rendered)
        plan.params = sampling.options(request.sampling, details.default_sampling, max_tokens)
        plan.wishes = self._wishes(plan)
        if (rules := self._rules(plan)) is not None:
            plan.params = {**plan.params, "ebnf": text(rules)}
        return plan

    def tokenize(self, request: TokenizeRequest) -> Sequence[int]:
        """Returns the ids of a prompt. Raises as `LLMEngine.prepare`."""
        wanted = GenerateRequest(
            "", request.model, chat=request.chat, text=request.text, add_special_tokens=request.add_special_tokens
        )
        return self._prompt(Plan(wanted, ()))[1]

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Returns the text of ids, special tokens included."""
        check_ids("token_ids", token_ids, self._model.details.vocab_size)
        tokenizer = self._model.tokenizer
        decoded = tokenizer.decode(list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(decoded)

    def choices(self, plan: Plan) -> Sequence[Choice]:
        """Returns what the choices of a request are read with."""
        model, request = self._model, plan.request
        skipped = model.hidden if request.sampling.skip_special_tokens is not False else frozenset()
        found = []
        for number in range(request.sampling.n or 1):
            reasoning = self._reasoning(plan) if plan.reasons and not plan.closed else None
            calls = None
            if plan.calls and request.chat is not None and model.tool_parser:
                calls = Calls(model.tool_parser, model.tokenizer, request.chat)
            detokenizer = Detokenizer(model.vocabulary.token_bytes.__getitem__, skipped)
            found.append(Choice(number, request, detokenizer, reasoning, calls))
        return found

    def _reasoning(self, plan: Plan) -> Reasoning:
        return Reasoning(self._model.reasoning_parser or "", self._model.tokenizer, plan.opened, plan.calls)

    def _prompt(self, plan: Plan) -> tuple[str, list[int]]:
        """Returns the prompt as text and as ids, and notes its pictures."""
        model, request = self._model, plan.request
        if request.token_ids is not None:
            check_ids("token_ids.ids", request.token_ids, model.details.vocab_size)
            return "", list(request.token_ids)
        special = request.chat is None if request.add_special_tokens is None else request.add_special_tokens
        if request.chat is None:
            return "", self._encode(request.text or "", special)
        template, thinks = model.details.chat_template, model.reasoning_parser is not None
        rendered = render(model.tokenizer, template, request.chat, request.reasoning, thinks, model.sees)
        shown = pictures.of_chat(request.chat)
        if not shown:
            return rendered, self._encode(rendered, special)
        if model.max_pictures is not None and len(shown) > model.max_pictures:
            raise InvalidField("chat.messages", f"has {len(shown)} images; at most {model.max_pictures} are allowed")
        made = model.processor(text=[rendered], images=shown, return_tensors="pt", add_special_tokens=special)
        # SGLang does the same once more: what it takes ready-made gave other tokens than transformers.
        plan.rendered, plan.pictures = rendered, shown
        return rendered, list(made["input_ids"][0].tolist())

    def _plan_parsing(self, plan: Plan, chat: Chat, prompt: str) -> None:
        mode = chat.tool_choice.mode if chat.tool_choice else "auto"
        plan.calls = bool(chat.tools) and mode != "none"
        if plan.calls and self._model.tool_parser is None:
            raise UnsupportedFeature("chat.tools", "this model calls no tools, as far as its chat template says")
        plan.reasons = self._model.reasoning_parser is not None
        if plan.reasons:
            parser = self._reasoning(plan)
            plan.closed = reasoning_is_closed(prompt, parser.end)
            plan.opened = not plan.closed and (
                parser.thinking or reasoning_is_open(prompt, chat, parser.begin, parser.end)
            )

    def _wishes(self, plan: Plan) -> Sequence[Wishes]:
        given, default = plan.request.sampling, self._model.details.default_sampling
        words = bad_words(given.bad_words, lambda word: self._encode(word, special=False))
        thinking: dict[str, Any] = {}
        reasoning = plan.request.reasoning
        if plan.reasons and not plan.closed and reasoning is not None and reasoning.max_tokens is not None:
            parser = self._reasoning(plan)
            begin, end = ([] if plan.opened else self._encode(parser.begin, False)), self._encode(parser.end, False)
            thinking = {"think_begin": begin, "think_end": end, "think_tokens": reasoning.max_tokens}
        return [sampling.wishes(given, default, words, number, **thinking) for number in range(given.n or 1)]

    def _rules(self, plan: Plan) -> xgrammar.Grammar | None:
        form = self._model.call_form if plan.calls else None
        if plan.calls and form is None and _must_keep_form(plan.request):
            raise UnsupportedFeature("chat.tool_choice", "calls of this model's dialect cannot be enforced")
        rules = grammar.of_request(plan.request, form)
        if rules is None or not plan.reasons or plan.closed:
            return rules
        parser = self._reasoning(plan)
        return grammar.after_thinking(rules, parser.begin, parser.end, plan.opened)

    def _encode(self, text: str, special: bool) -> list[int]:
        return list(self._model.tokenizer.encode(text, add_special_tokens=special))


def _must_keep_form(request: GenerateRequest) -> bool:
    chat = request.chat
    choice = chat.tool_choice if chat else None
    return bool((choice and choice.mode == "required") or (chat and any(tool.strict for tool in chat.tools)))
