"""A request, found valid and with its prompt tokenised: what SGLang's tokenizer manager takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from gpt_server.services.llm.engine import Chat, GenerateRequest
from gpt_server.services.llm.engines.sglang import sampling
from gpt_server.services.llm.engines.sglang.model import LoadedModel
from gpt_server.services.llm.engines.sglang.parsers import Calls, Reasoning
from gpt_server.services.llm.engines.sglang.shaping import Wishes
from gpt_server.services.llm.forms import text
from gpt_server.services.llm.planner import TextPlan, TextPlanner
from gpt_server.services.llm.prompt import check_sampled_ids, fit


@dataclass(slots=True)
class Plan(TextPlan):
    """A request that was found valid.

    Attributes:
        params: SGLang's sampling parameters, without what differs between choices.
        wishes: what SGLang has no parameters for, one for each choice.
        rendered: the prompt as text, where it has pictures: SGLang finds their places in it.
        pictures: the pictures, decoded.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    wishes: Sequence[Wishes] = ()
    rendered: str = ""
    pictures: Sequence[Any] = ()


class Planner(TextPlanner[LoadedModel, Plan]):
    """Turns requests into plans."""

    plan_type: ClassVar[Any] = Plan

    def plan(self, request: GenerateRequest) -> Plan:
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

    def _reasoning(self, plan: Plan) -> Reasoning:
        return Reasoning(self._model.reasoning_parser or "", self._model.tokenizer, plan.opened, plan.calls)

    def _calls(self, parser: str, chat: Chat) -> Calls:
        return Calls(parser, self._model.tokenizer, chat)

    def _begins_inside(self, plan: Plan) -> bool:
        return self._reasoning(plan).thinking

    def _see(self, plan: Plan, rendered: str, shown: Sequence[Any], special: bool) -> Sequence[int]:
        made = self._model.processor(text=[rendered], images=shown, return_tensors="pt", add_special_tokens=special)
        # SGLang does the same once more: what it takes ready-made gave other tokens than transformers.
        plan.rendered, plan.pictures = rendered, shown
        ids: Sequence[int] = made["input_ids"][0].tolist()
        return ids

    def _wishes(self, plan: Plan) -> Sequence[Wishes]:
        given, default = plan.request.sampling, self._model.details.default_sampling
        words, thinking = self._bad_words(plan), self._thinking(plan)
        return [sampling.wishes(given, default, words, number, **thinking) for number in range(given.n or 1)]
