"""A request, checked and with every default filled in: what the scheduler needs to run it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import xgrammar

from gpt_server.services.common.errors import InvalidField, UnsupportedFeature
from gpt_server.services.llm import grammar, pictures
from gpt_server.services.llm.engine import Chat, GenerateRequest, Prepared, Reasoning, Sampling, TokenizeRequest
from gpt_server.services.llm.engines.hf.model import LoadedModel
from gpt_server.services.llm.engines.hf.sampling import SamplingPlan
from gpt_server.services.llm.forms import text
from gpt_server.services.llm.parsing import REASONING_PARSERS, TOOL_PARSERS, ReasoningParser
from gpt_server.services.llm.prompt import (
    adds_special_tokens,
    bad_words,
    check_ids,
    check_sampled_ids,
    fit,
    reasoning_is_closed,
    reasoning_is_open,
)
from gpt_server.services.llm.render import render
from gpt_server.services.llm.sampling import filled

_GRAMMAR_CACHE_BYTES = 1 << 28


@dataclass(slots=True)
class Plan(Prepared):
    """A request that was found valid."""

    choices: int
    sampling: SamplingPlan
    #: How many alternatives are reported of each token of the prompt; None: the prompt is not scored.
    prompt_logprobs: int | None = None
    #: Names in the tables of `parsing`; None: the text is content as it is.
    reasoning_parser: str | None = None
    tool_parser: str | None = None
    #: Whether the prompt ends inside the reasoning, and whether it ends right behind it.
    opened: bool = False
    closed: bool = False
    #: Tokens of reasoning after which `end_thinking` is forced.
    thinking_budget: int | None = None
    end_thinking: Sequence[int] = ()
    grammar: xgrammar.CompiledGrammar | None = None
    #: What the model is given beside the ids of a prompt with pictures, as its processor has made it.
    media: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @property
    def may_need_grammar(self) -> bool:
        return self.request.structured_output is not None or self.tool_parser is not None


class Planner:
    """Turns requests into plans. Not for two threads at once, `compile` excepted: a tokenizer is not either."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._compiler = xgrammar.GrammarCompiler(
            model.tokenizer_info, max_threads=1, cache_limit_bytes=_GRAMMAR_CACHE_BYTES
        )

    def plan(self, request: GenerateRequest) -> Plan:
        """Checks a request, renders and tokenises its prompt. The grammar is still to be compiled."""
        # `cache_salt` is honoured as it is: nothing of a prompt is kept for later requests.
        check_sampled_ids(request.sampling, self._model.details.vocab_size)
        text = request.text if request.chat is None else self._render(request.chat, request.reasoning)
        media: Mapping[str, torch.Tensor] = {}
        if text is None:
            prompt = list(self._check_ids("token_ids.ids", request.token_ids or ()))
        else:
            prompt, media = self._inputs(text, request)
        sampling = request.sampling
        prompt, max_tokens = fit(request, prompt, self._model.details.max_context_tokens, not media)
        plan = Plan(request, prompt, sampling.n or 1, self._sampling(sampling, max_tokens), sampling.prompt_logprobs)
        plan.media = media
        if request.chat is not None:
            self._plan_parsing(plan, request.chat, text or "")
        return plan

    def compile(self, plan: Plan) -> None:
        """Compiles the grammar that a request needs, if it does. Milliseconds, for a large schema seconds."""
        rules = grammar.of_request(
            plan.request, grammar.call_form(TOOL_PARSERS[plan.tool_parser]) if plan.tool_parser else None
        )
        if rules is None:
            return
        if plan.reasoning_parser and not plan.closed:
            rules = grammar.after_thinking(rules, ReasoningParser.begin, ReasoningParser.end, plan.opened)
        plan.grammar = self._compiler.compile_grammar(text(rules))

    def tokenize(self, request: TokenizeRequest) -> Sequence[int]:
        """Returns the ids of a prompt."""
        text = (request.text or "") if request.chat is None else self._render(request.chat, None)
        return self._inputs(text, request)[0]

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Returns the text of ids, special tokens included."""
        ids = list(self._check_ids("token_ids", token_ids))
        return str(self._model.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _check_ids(self, field: str, token_ids: Sequence[int]) -> Sequence[int]:
        check_ids(field, token_ids, self._model.details.vocab_size)
        return token_ids

    def _inputs(
        self, text: str, request: GenerateRequest | TokenizeRequest
    ) -> tuple[list[int], Mapping[str, torch.Tensor]]:
        """Returns the ids of a prompt, and what else the model is given for its pictures."""
        model, special = self._model, adds_special_tokens(request)
        shown = pictures.of_chat(request.chat, model.max_images) if request.chat else []
        if not shown:
            return self._encode(text, special), {}
        made = model.processor(text=[text], images=shown, return_tensors="pt", add_special_tokens=special)
        media = {name: value for name, value in made.items() if name not in ("input_ids", "attention_mask")}
        return made["input_ids"][0].tolist(), media

    def _encode(self, text: str, special: bool) -> list[int]:
        return list(self._model.tokenizer(text, add_special_tokens=special)["input_ids"])

    def _render(self, chat: Chat, reasoning: Reasoning | None) -> str:
        model = self._model
        return render(
            model.tokenizer,
            model.details.chat_template,
            chat,
            reasoning,
            model.reasoning_parser is not None,
            model.processor is not None,
        )

    def _plan_parsing(self, plan: Plan, chat: Chat, prompt: str) -> None:
        mode = chat.tool_choice.mode if chat.tool_choice else "auto"
        if chat.tools and mode != "none":
            plan.tool_parser = self._model.tool_parser
            if plan.tool_parser is None:
                raise UnsupportedFeature("chat.tools", "this model calls no tools, as far as its chat template says")
        name = plan.reasoning_parser = self._model.reasoning_parser
        if name is None:
            return
        parser = REASONING_PARSERS[name]
        plan.closed = reasoning_is_closed(prompt, parser.end)
        opens = parser.implicit or reasoning_is_open(prompt, chat, parser.begin, parser.end)
        plan.opened = not plan.closed and opens
        if plan.request.reasoning is not None:
            plan.thinking_budget = plan.request.reasoning.max_tokens
            plan.end_thinking = self._encode(parser.end, special=False)

    def _sampling(self, given: Sampling, max_tokens: int) -> SamplingPlan:
        details = self._model.details
        eos = () if given.ignore_eos else details.eos_token_ids
        end_ids = (*eos, *given.stop_token_ids)
        words = bad_words(given.bad_words, lambda word: self._encode(word, special=False))
        _check_allowed(given, {word[0] for word in words if len(word) == 1}, end_ids)
        return SamplingPlan(
            **filled(given, details.default_sampling),
            min_tokens=given.min_tokens or 0,
            max_tokens=max_tokens,
            seed=given.seed,
            presence_penalty=given.presence_penalty or 0.0,
            frequency_penalty=given.frequency_penalty or 0.0,
            logit_bias=dict(given.logit_bias),
            logprobs=(given.top_logprobs or 0) if given.logprobs else None,
            bad_words=words,
            allowed_token_ids=given.allowed_token_ids,
            end_ids=end_ids,
        )


def _check_allowed(given: Sampling, bad: set[int], end_ids: Sequence[int]) -> None:
    forbidden = bad.union(end_ids if given.min_tokens else ())
    if given.allowed_token_ids and forbidden.issuperset(given.allowed_token_ids):
        why = "leaves no token to sample: 'bad_words' or 'min_tokens' forbids them all"
        raise InvalidField("sampling.allowed_token_ids", why)
