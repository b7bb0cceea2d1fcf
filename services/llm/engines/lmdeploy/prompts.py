"""A request, found valid and with its prompt tokenised: what LMDeploy's engine takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmdeploy.messages import GenerationConfig

from gpt_server.services.common.errors import InvalidField, UnsupportedFeature
from gpt_server.services.llm import grammar, pictures
from gpt_server.services.llm.choice import Choice
from gpt_server.services.llm.engine import Chat, GenerateRequest, Prepared, TokenizeRequest
from gpt_server.services.llm.engines.lmdeploy import parsers, sampling
from gpt_server.services.llm.engines.lmdeploy.model import LoadedModel
from gpt_server.services.llm.forms import text
from gpt_server.services.llm.parsing import REASONING_PARSERS, ReasoningParser
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
        inputs: the prompt, as LMDeploy takes it.
        options: LMDeploy's, one for each choice.
        end_ids: tokens that end a choice.
        reasons: whether reasoning is told from the answer, and is counted.
        opened: whether the prompt ends inside the reasoning.
        closed: whether it ends right behind it.
        calls: whether calls are looked for.
    """

    inputs: Mapping[str, Any] = field(default_factory=dict)
    options: Sequence[GenerationConfig] = ()
    end_ids: frozenset[int] = frozenset()
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
        model, details = self._model, self._model.details
        sampling.refuse(request, model.backend, model.caches)
        check_sampled_ids(request.sampling, details.vocab_size)
        plan = Plan(request, ())
        rendered, prompt = self._prompt(plan)
        text_alone = "multimodal" not in plan.inputs
        if not text_alone and request.sampling.prompt_logprobs is not None:
            raise UnsupportedFeature("sampling.prompt_logprobs", "not for a prompt with pictures")
        plan.prompt_token_ids, max_tokens = fit(request, prompt, details.max_context_tokens, text_alone)
        plan.inputs = {**plan.inputs, "input_ids": plan.prompt_token_ids}
        if request.chat is not None:
            self._plan_parsing(plan, request.chat, rendered)
        self._plan_options(plan, max_tokens)
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
        for number in range(len(plan.options)):
            reasoning = self._reasoning()(plan.opened) if plan.reasons and not plan.closed else None
            calls = None
            if plan.calls and request.chat is not None and model.tool_parser:
                calls = parsers.calls(model.tool_parser, request.chat)
            detokenizer = Detokenizer(model.vocabulary.token_bytes.__getitem__, skipped)
            found.append(Choice(number, request, detokenizer, reasoning, calls))
        return found

    def _reasoning(self) -> type[ReasoningParser]:
        return REASONING_PARSERS[self._model.reasoning_parser or ""]

    def _prompt(self, plan: Plan) -> tuple[str, list[int]]:
        """Returns the prompt as text and as ids, and notes what its pictures have become."""
        model, request = self._model, plan.request
        if request.token_ids is not None:
            check_ids("token_ids.ids", request.token_ids, model.details.vocab_size)
            return "", list(request.token_ids)
        special = request.chat is None if request.add_special_tokens is None else request.add_special_tokens
        if request.chat is None:
            return "", self._encode(request.text or "", special)
        template, thinks = model.details.chat_template, model.reasoning_parser is not None
        sees = model.pictures is not None
        rendered = render(model.tokenizer, template, request.chat, request.reasoning, thinks, sees)
        shown = pictures.of_chat(request.chat)
        if not shown or model.pictures is None:
            return rendered, self._encode(rendered, special)
        if model.max_pictures is not None and len(shown) > model.max_pictures:
            raise InvalidField("chat.messages", f"has {len(shown)} images; at most {model.max_pictures} are allowed")
        parts = [{"type": "image", "data": picture} for picture in shown]
        made = model.pictures([{"role": "user", "content": parts}], rendered, None)
        plan.inputs = {"multimodal": made["multimodal"]}
        return rendered, list(made["input_ids"])

    def _plan_parsing(self, plan: Plan, chat: Chat, prompt: str) -> None:
        mode = chat.tool_choice.mode if chat.tool_choice else "auto"
        plan.calls = bool(chat.tools) and mode != "none"
        if plan.calls and self._model.tool_parser is None:
            raise UnsupportedFeature("chat.tools", "this model calls no tools, as far as its chat template says")
        plan.reasons = self._model.reasoning_parser is not None
        if plan.reasons:
            parser = self._reasoning()
            plan.closed = reasoning_is_closed(prompt, parser.end)
            opens = parser.implicit or reasoning_is_open(prompt, chat, parser.begin, parser.end)
            plan.opened = not plan.closed and opens

    def _plan_options(self, plan: Plan, max_tokens: int) -> None:
        model, given = self._model, plan.request.sampling
        shape = sampling.filled(given, model.details.default_sampling)
        further: dict[str, Any] = {}
        form = self._form(plan)
        eos = () if given.ignore_eos and form is None else model.details.eos_token_ids
        plan.end_ids = frozenset((*eos, *given.stop_token_ids))
        if form is not None:
            further["response_format"] = {"type": "structural_tag", "format": {"type": "grammar", "grammar": form}}
        ends = sorted(plan.end_ids)
        if model.backend == "pytorch":
            words = bad_words(given.bad_words, lambda word: self._encode(word, special=False))
            prompt, thinking = plan.prompt_token_ids, self._thinking(plan)
            wished = sampling.shaping(prompt, model.padding, given, shape, words, ends, **thinking)
            further["logits_processors"] = [wished] if wished.changes else None
        else:
            further |= {"min_new_tokens": given.min_tokens or 0, "repetition_penalty": shape["repetition_penalty"]}
        plan.options = [
            sampling.options(given, shape, number, max_tokens, ends, **further) for number in range(given.n or 1)
        ]

    def _thinking(self, plan: Plan) -> Mapping[str, Any]:
        reasoning = plan.request.reasoning
        if not plan.reasons or plan.closed or reasoning is None or reasoning.max_tokens is None:
            return {}
        parser = self._reasoning()
        begin = () if plan.opened else tuple(self._encode(parser.begin, special=False))
        end = tuple(self._encode(parser.end, special=False))
        return {"think_begin": begin, "think_end": end, "think_tokens": reasoning.max_tokens}

    def _form(self, plan: Plan) -> str | None:
        """Returns the form that the output must have, as EBNF."""
        form = self._model.call_form if plan.calls else None
        if plan.calls and form is None and _must_keep_form(plan.request):
            raise UnsupportedFeature("chat.tool_choice", "calls of this model's dialect cannot be enforced")
        rules = grammar.of_request(plan.request, form)
        if rules is None:
            return None
        if plan.reasons and not plan.closed:
            parser = self._reasoning()
            rules = grammar.after_thinking(rules, parser.begin, parser.end, plan.opened)
        return text(rules)

    def _encode(self, text: str, special: bool) -> list[int]:
        return list(self._model.tokenizer.encode(text, add_special_tokens=special))


def _must_keep_form(request: GenerateRequest) -> bool:
    chat = request.chat
    choice = chat.tool_choice if chat else None
    return bool((choice and choice.mode == "required") or (chat and any(tool.strict for tool in chat.tools)))
