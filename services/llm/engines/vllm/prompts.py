"""A request, found valid by vLLM's own code and with its prompt rendered: what `AsyncLLM.generate` takes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.inputs.engine import tokens_input
from vllm.renderers import TokenizeParams
from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

from gpt_server.services.common.errors import (
    InvalidField,
    ServiceError,
    UnsupportedFeature,
    WrongModelKind,
)
from gpt_server.services.llm.engine import Chat, GenerateRequest, Prepared, Reasoning, TokenizeRequest
from gpt_server.services.llm.engines.vllm import conversation, sampling
from gpt_server.services.llm.engines.vllm.errors import REFUSALS, refusal
from gpt_server.services.llm.engines.vllm.model import LoadedModel
from gpt_server.services.llm.forms import fault_of, with_few_blanks
from gpt_server.services.llm.prompt import check_ids, check_sampled_ids, fit
from gpt_server.services.llm.template import SWITCHES, is_enabled, parameters, template_args, thinking

#: What `template_args_json` cannot say: arguments of the rendering function, not of a template.
RESERVED = frozenset(
    {"chat_template", "conversation", "messages", "tools", "tokenize", "return_dict", "return_tensors"}
)

#: A temperature below this is greedy to vLLM.
GREEDY = 1e-5


class _ChatRequest(ChatCompletionRequest):  # type: ignore[misc]
    """vLLM's chat request, whose prompt is tokenised whole: its length is looked at here, and named exactly."""

    def build_tok_params(self, model_config: Any) -> TokenizeParams:
        """Returns how the rendered prompt is tokenised."""
        return TokenizeParams(max_total_tokens=None, add_special_tokens=self.add_special_tokens)


@dataclass(slots=True)
class Plan(Prepared):
    """A request that was found valid.

    Attributes:
        engine_input: the prompt as vLLM's engine takes it, pictures included.
        params: how tokens are sampled.
        chat_request: what vLLM's parsers are told; `None`: the text is content as it is.
        template_args: variables of the template, which parsers are told too.
        lora: the adapter.
        reasoning: arguments of `generate` by which the grammar waits for the end of the reasoning.
        alike: every choice is the same, and one is sampled for all: vLLM takes no more when sampling is greedy.
    """

    engine_input: Any = None
    params: SamplingParams = None
    chat_request: ChatCompletionRequest | None = None
    template_args: dict[str, Any] = field(default_factory=dict)
    lora: Any = None
    reasoning: dict[str, Any] = field(default_factory=dict)
    alike: bool = False


class Planner:
    """Turns requests into plans."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._llm = model.llm

    async def plan(self, request: GenerateRequest) -> Plan:
        """Checks a request, renders and tokenises its prompt. Raises as `LLMEngine.prepare`."""
        check_sampled_ids(request.sampling, self._model.details.vocab_size)
        if request.chat is None:
            plan = await self._raw(request)
        else:
            plan = await self._chat(request, request.chat)
        plan.lora = self._model.adapters[request.adapter] if request.adapter else None
        if plan.params.structured_outputs is not None:
            await asyncio.to_thread(self._verify, plan)  # a grammar is compiled on the way
        return plan

    async def tokenize(self, request: TokenizeRequest) -> Sequence[int]:
        """Returns the ids of a prompt. Raises as `LLMEngine.prepare`."""
        if request.chat is None:
            return await self._encode(request.text or "", request.add_special_tokens is not False)
        special = bool(request.add_special_tokens)
        _, engine_input, _ = await self._render(request.chat, None, {"add_special_tokens": special})
        return list(engine_input["prompt_token_ids"])

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Returns the text of ids, special tokens included."""
        check_ids("token_ids", token_ids, self._model.details.vocab_size)
        return str(self._llm.renderer.get_tokenizer().decode(list(token_ids), skip_special_tokens=False))

    async def _raw(self, request: GenerateRequest) -> Plan:
        if request.text is None:
            prompt = list(request.token_ids or ())
            check_ids("token_ids.ids", prompt, self._model.details.vocab_size)
        else:
            prompt = await self._encode(request.text, request.add_special_tokens is not False)
        prompt, max_tokens = fit(request, prompt, self._model.details.max_context_tokens)
        options = self._options(request) | sampling.completion_logprobs(request.sampling)
        wanted = self._validated(CompletionRequest, _form_of(request) or "text", prompt=prompt, **options)
        engine_input = tokens_input(prompt, cache_salt=request.cache_salt or None)
        return Plan(request, prompt, engine_input, self._params(wanted, max_tokens), alike=self._alike(request))

    async def _chat(self, request: GenerateRequest, chat: Chat) -> Plan:
        options = self._options(request) | sampling.chat_logprobs(request.sampling)
        options["add_special_tokens"] = bool(request.add_special_tokens)
        if request.cache_salt:
            options["cache_salt"] = request.cache_salt
        wanted, engine_input, template_args = await self._render(
            chat, request.reasoning, options, _form_of(request) or "chat.messages"
        )
        prompt = list(engine_input["prompt_token_ids"])
        limit = self._model.details.max_context_tokens
        kept, max_tokens = fit(request, prompt, limit, "mm_kwargs" not in engine_input)
        if len(kept) < len(prompt):
            engine_input = tokens_input(kept, cache_salt=request.cache_salt or None)
        params = self._params(wanted, max_tokens)
        plan = Plan(request, kept, engine_input, params, wanted, template_args, alike=self._alike(request))
        if (parser := self.parser(plan)) is not None and parser.reasoning_parser is not None:
            plan.reasoning = {
                "reasoning_ended": wanted.resolve_reasoning_ended(parser, kept),
                "reasoning_parser_kwargs": {"chat_template_kwargs": template_args},
            }
        return plan

    def parser(self, plan: Plan) -> Any:
        """Returns a new parser of vLLM's for one choice of a chat; `None`: its text is content as it is."""
        kind, chat_request = self._model.chats.parser, plan.chat_request
        if kind is None or chat_request is None:
            return None
        return kind(
            self._llm.renderer.get_tokenizer(),
            chat_request.tools,
            chat_template_kwargs=plan.template_args,
            model_config=self._llm.model_config,
        )

    async def _render(
        self, chat: Chat, reasoning: Reasoning | None, options: dict[str, Any], at_fault: str = "chat.messages"
    ) -> tuple[ChatCompletionRequest, Any, dict[str, Any]]:
        """Returns vLLM's request, the rendered prompt and the template's variables."""
        model = self._model
        if "chat" not in model.details.capabilities:
            raise WrongModelKind("This model has no chat template: it continues text, but does not chat.")
        tools = conversation.tools(chat)
        if tools and not model.calls:
            raise UnsupportedFeature("chat.tools", "this model calls no tools, as far as its chat template says")
        continues = bool(chat.continue_final_message)
        opens = not continues if chat.add_generation_prompt is None else chat.add_generation_prompt
        options |= {"add_generation_prompt": opens, "continue_final_message": continues}
        options |= self._thinking(chat, reasoning)
        if tools:
            options |= {"tools": tools, "tool_choice": conversation.tool_choice(chat)}
            options["parallel_tool_calls"] = chat.parallel_tool_calls is not False
        turns = await self._turns(chat)
        wanted = self._validated(_ChatRequest, at_fault, messages=turns, **options)
        try:
            # Of a picture that vLLM's cache holds, only a mark is sent; its core knows nothing of that if the request
            # that brought the picture was refused, or left, before it got there.
            rendered = await model.chats.render_chat(wanted, skip_mm_cache=True)
        except REFUSALS as error:
            raise refusal(error, "chat.messages") from error
        if isinstance(rendered, ErrorResponse):
            raise InvalidField("chat.messages", rendered.error.message)
        (engine_input,) = rendered[1]
        return wanted, engine_input, model.chats.effective_chat_template_kwargs(wanted)

    async def _turns(self, chat: Chat) -> list[dict[str, Any]]:
        read = partial(conversation.messages, chat, self._model.details.chat_template, self._model.sees)
        pictures = any(part.image is not None for turn in chat.messages for part in turn.content)
        return await asyncio.to_thread(read) if pictures else read()  # decoding takes a while, text does not

    def _thinking(self, chat: Chat, reasoning: Reasoning | None) -> dict[str, Any]:
        template = self._model.details.chat_template
        found: dict[str, Any] = {}
        if template:
            variables = thinking(template, reasoning, self._model.thinks)
        else:  # vLLM renders without a template that could be looked at
            enabled = is_enabled(reasoning) if reasoning else None
            variables = {} if enabled is None else dict.fromkeys(SWITCHES, enabled)
        if reasoning is not None and reasoning.effort is not None:
            found["reasoning_effort"] = reasoning.effort
        variables |= template_args(chat.template_args_json, RESERVED)
        return found | ({"chat_template_kwargs": variables} if variables else {})

    def _options(self, request: GenerateRequest) -> dict[str, Any]:
        return sampling.options(request) | ({"n": 1} if self._alike(request) else {})

    def _alike(self, request: GenerateRequest) -> bool:
        temperature = request.sampling.temperature
        if temperature is None:
            temperature = self._model.defaults.get("temperature", 1.0)
        return temperature < GREEDY and (request.sampling.n or 1) > 1

    def _params(self, wanted: Any, max_tokens: int) -> SamplingParams:
        try:
            params = wanted.to_sampling_params(max_tokens, dict(self._model.defaults))
        except REFUSALS as error:
            raise refusal(error, "sampling") from error
        params.output_kind = RequestOutputKind.DELTA
        if wanted.structured_outputs is not None and (tag := wanted.structured_outputs.structural_tag):
            params.structured_outputs = StructuredOutputsParams(structural_tag=with_few_blanks(tag))
        return params

    def _validated(self, kind: Any, field_at_fault: str, **options: Any) -> Any:
        try:
            return kind(**options)
        except REFUSALS as error:
            raise refusal(error, field_at_fault) from error

    def _verify(self, plan: Plan) -> None:
        """Raises what is wrong with a form that vLLM will have to keep to."""
        try:
            self._try(plan.params)
        except REFUSALS as error:
            raise self._bad_form(plan, error) from error

    def _try(self, params: SamplingParams) -> None:
        config = self._llm.vllm_config
        tokenizer = self._llm.renderer.get_tokenizer()
        params.verify(config.model_config, config.speculative_config, config.structured_outputs_config, tokenizer)

    def _bad_form(self, plan: Plan, error: Exception) -> ServiceError:
        if (field := _form_of(plan.request)) is not None:
            return InvalidField(field, fault_of(error))
        for i, tool in enumerate(plan.request.chat.tools if plan.request.chat else ()):
            alone = SamplingParams(structured_outputs=StructuredOutputsParams(json=parameters(tool)))
            try:
                self._try(alone)
            except REFUSALS as fault:
                return InvalidField(f"chat.tools[{i}].parameters", fault_of(fault))
        return refusal(error, "chat.tools")

    async def _encode(self, text: str, special: bool) -> list[int]:
        tokenizer = self._llm.renderer.get_tokenizer()
        return list(await asyncio.to_thread(tokenizer.encode, text, add_special_tokens=special))


def _form_of(request: GenerateRequest) -> str | None:
    """Returns the field with the form that the text must have; `None`: there is none."""
    form = request.structured_output
    names = (name for name in form.__dataclass_fields__ if getattr(form, name) is not None) if form else ()
    return next((f"structured_output.{name}" for name in names), None)
