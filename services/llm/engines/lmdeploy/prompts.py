"""A request, found valid and with its prompt tokenised: what LMDeploy's engine takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lmdeploy.messages import GenerationConfig

from gpt_server.services.common.errors import UnsupportedFeature
from gpt_server.services.llm.choice import CallReader
from gpt_server.services.llm.engine import Chat, GenerateRequest
from gpt_server.services.llm.engines.lmdeploy import parsers, sampling
from gpt_server.services.llm.engines.lmdeploy.model import LoadedModel
from gpt_server.services.llm.forms import text
from gpt_server.services.llm.parsing import REASONING_PARSERS, ReasoningParser
from gpt_server.services.llm.planner import TextPlan, TextPlanner
from gpt_server.services.llm.prompt import check_sampled_ids, fit
from gpt_server.services.llm.sampling import filled


@dataclass(slots=True)
class Plan(TextPlan):
    """A request that was found valid.

    Attributes:
        inputs: the prompt, as LMDeploy takes it.
        options: LMDeploy's, one for each choice.
        end_ids: tokens that end a choice.
    """

    inputs: Mapping[str, Any] = field(default_factory=dict)
    options: Sequence[GenerationConfig] = ()
    end_ids: frozenset[int] = frozenset()


class Planner(TextPlanner[LoadedModel, Plan]):
    """Turns requests into plans."""

    plan_type: ClassVar[Any] = Plan

    def plan(self, request: GenerateRequest) -> Plan:
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

    def _reasoning(self, plan: Plan) -> ReasoningParser:
        return REASONING_PARSERS[self._model.reasoning_parser or ""](plan.opened)

    def _calls(self, parser: str, chat: Chat) -> CallReader:
        return parsers.calls(parser, chat)

    def _begins_inside(self, plan: Plan) -> bool:
        return self._reasoning(plan).implicit

    def _see(self, plan: Plan, rendered: str, shown: Sequence[Any], special: bool) -> Sequence[int]:
        assert self._model.pictures is not None  # noqa: S101 (others are refused when the prompt is rendered)
        parts = [{"type": "image", "data": picture} for picture in shown]
        made = self._model.pictures([{"role": "user", "content": parts}], rendered, None)
        plan.inputs = {"multimodal": made["multimodal"]}
        ids: Sequence[int] = made["input_ids"]
        return ids

    def _plan_options(self, plan: Plan, max_tokens: int) -> None:
        model, given = self._model, plan.request.sampling
        shape = filled(given, model.details.default_sampling)
        further: dict[str, Any] = {}
        rules = self._rules(plan)
        eos = () if given.ignore_eos and rules is None else model.details.eos_token_ids
        plan.end_ids = frozenset((*eos, *given.stop_token_ids))
        if rules is not None:
            form = {"type": "grammar", "grammar": text(rules)}
            further["response_format"] = {"type": "structural_tag", "format": form}
        ends = sorted(plan.end_ids)
        if model.backend == "pytorch":
            words, thinking = self._bad_words(plan), self._thinking(plan)
            wished = sampling.shaping(plan.prompt_token_ids, model.padding, given, shape, words, ends, **thinking)
            further["logits_processors"] = [wished] if wished.changes else None
        else:
            further |= {"min_new_tokens": given.min_tokens or 0, "repetition_penalty": shape["repetition_penalty"]}
        plan.options = [
            sampling.options(given, shape, number, max_tokens, ends, **further) for number in range(given.n or 1)
        ]
