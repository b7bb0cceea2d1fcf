"""What becomes of every field of a request: one table per dialect.

A field that is `copied` goes into the named field of the request message as it is; the same path, read backwards,
names the OpenAI parameter when a service complains about the field. Names are those of OpenAI's API reference, of
vLLM's extensions to it, and of gpt_server's.
"""

from gpt_server.edge.schemas.base import FieldTable, Harmless, Honoured, Refused, Treatment

_HINT = "A hint for billing, abuse detection or caching at OpenAI; the answer does not depend on it."


def _copied(path: str) -> Honoured:
    return Honoured((path,), copied=True)


def _sampling(name: str) -> Honoured:
    return _copied(f"sampling.{name}")


def _off(what: str) -> Harmless:
    return Harmless(f"{what} is not supported.", values=(False,))


COMMON: dict[str, Treatment] = {
    "model": _copied("model"),
    "temperature": _sampling("temperature"),
    "top_p": _sampling("top_p"),
    "top_k": _sampling("top_k"),
    "min_p": _sampling("min_p"),
    "n": _sampling("n"),
    "max_tokens": _sampling("max_tokens"),
    "min_tokens": _sampling("min_tokens"),
    "stop": _sampling("stop"),
    "stop_token_ids": _sampling("stop_token_ids"),
    "include_stop_str_in_output": _sampling("include_stop_str_in_output"),
    "ignore_eos": _sampling("ignore_eos"),
    "skip_special_tokens": _sampling("skip_special_tokens"),
    "seed": _sampling("seed"),
    "presence_penalty": _sampling("presence_penalty"),
    "frequency_penalty": _sampling("frequency_penalty"),
    "repetition_penalty": _sampling("repetition_penalty"),
    "logit_bias": _sampling("logit_bias"),
    "structured_outputs": Honoured(("structured_output",)),
    "guided_json": Honoured(("structured_output.json_schema",)),
    "guided_regex": Honoured(("structured_output.regex",)),
    "guided_choice": Honoured(("structured_output.choice",)),
    "guided_grammar": Honoured(("structured_output.grammar",)),
    "thinking_token_budget": _copied("reasoning.max_tokens"),
    "priority": _copied("priority"),
    "return_token_ids": Honoured(("return_token_ids",)),
    "stream": Honoured(),
    "stream_options": Honoured(),
    "user": Harmless(_HINT),
    "session_id": Harmless("A hint for routing; the answer does not depend on it."),
    "spaces_between_special_tokens": Harmless("Tokens are always joined as the tokeniser does.", values=(True,)),
    "use_beam_search": _off("Beam search"),
    "length_penalty": Harmless("Belongs to beam search, which is not supported.", values=(1.0,)),
    "return_tokens_as_token_ids": _off("Writing tokens as ids"),
    "bad_words": Refused("Not supported; 'logit_bias' can forbid single tokens."),
    "allowed_token_ids": Refused("Not supported; 'logit_bias' can favour tokens, 'structured_outputs' restrict text."),
    "logits_processors": Refused("Code is not taken from requests."),
    "prompt_logprobs": Refused("Not supported; 'logprobs' reports those of the answer."),
    "truncate_prompt_tokens": Refused("A prompt that is too long is an error here; it is never cut silently."),
    "cache_salt": Refused("Prompt caches are not divided by salt."),
    "kv_transfer_params": Refused("Not supported."),
    "vllm_xargs": Refused("Belongs to one engine; this API is the same for all."),
    "request_id": Refused("Send the header x-request-id instead."),
    "guided_decoding_backend": Refused("The engine chooses its own."),
    "guided_whitespace_pattern": Refused("The engine chooses its own."),
}
"""Fields that chat and completions share."""

CHAT_FIELDS: FieldTable = COMMON | {
    "messages": Honoured(("chat.messages",)),
    "max_completion_tokens": _copied("sampling.max_tokens"),
    "logprobs": _sampling("logprobs"),
    "top_logprobs": _sampling("top_logprobs"),
    "response_format": Honoured(("structured_output",)),
    "tools": Honoured(("chat.tools",)),
    "tool_choice": Honoured(("chat.tool_choice",)),
    "parallel_tool_calls": _copied("chat.parallel_tool_calls"),
    "reasoning_effort": Honoured(("reasoning.effort",)),
    "enable_thinking": _copied("reasoning.enabled"),
    "include_reasoning": Honoured(),
    "chat_template_kwargs": Honoured(("chat.template_args_json",)),
    "add_generation_prompt": _copied("chat.add_generation_prompt"),
    "continue_final_message": _copied("chat.continue_final_message"),
    "metadata": Harmless("Belongs to stored completions; nothing is stored."),
    "store": _off("Storing completions"),
    "safety_identifier": Harmless(_HINT),
    "prompt_cache_key": Harmless(_HINT),
    "prompt_cache_options": Harmless(_HINT),
    "prompt_cache_retention": Harmless(_HINT),
    "prediction": Harmless("Makes OpenAI's answer faster; it does not change it."),
    "service_tier": Harmless("There is one tier.", values=("auto", "default")),
    "verbosity": Harmless("Open models have no such control: ask for it in a message.", values=("medium",)),
    "modalities": Harmless("Chat answers in text; /v1/audio/speech is for sound.", values=(["text"],)),
    "add_special_tokens": Harmless("The chat template writes special tokens.", values=(False,)),
    "echo": _off("Repeating the last message"),
    "audio": Refused("Chat answers in text."),
    "moderation": Refused("Answers are not moderated; call a moderation model yourself."),
    "web_search_options": Refused("There is no web search; offer your own as a tool."),
    "functions": Refused("Deprecated by OpenAI: use 'tools'."),
    "function_call": Refused("Deprecated by OpenAI: use 'tool_choice'."),
    "documents": Refused("Put documents into messages."),
    "chat_template": Refused("Templates come with the model; they are not taken from requests."),
    "mm_processor_kwargs": Refused("Not supported."),
    "media_io_kwargs": Refused("Not supported."),
}
"""Fields of POST /v1/chat/completions."""

COMPLETION_FIELDS: FieldTable = COMMON | {
    "prompt": Honoured(("text", "token_ids")),
    "echo": Honoured(),
    "logprobs": Honoured(("sampling.top_logprobs",)),
    "best_of": Honoured(),
    "response_format": Honoured(("structured_output",)),
    "add_special_tokens": Harmless("Raw prompts always get the tokeniser's special tokens.", values=(True,)),
    "suffix": Refused("Filling in the middle is not supported."),
}
"""Fields of POST /v1/completions."""

TOKENIZE_FIELDS: FieldTable = {
    "model": _copied("model"),
    "prompt": _copied("text"),
    "messages": Honoured(("chat.messages",)),
    "tools": Honoured(("chat.tools",)),
    "chat_template_kwargs": Honoured(("chat.template_args_json",)),
    "add_generation_prompt": _copied("chat.add_generation_prompt"),
    "continue_final_message": _copied("chat.continue_final_message"),
    "add_special_tokens": _copied("add_special_tokens"),
    "return_token_strs": _copied("return_token_strings"),
    "chat_template": Refused("Templates come with the model; they are not taken from requests."),
    "mm_processor_kwargs": Refused("Not supported."),
}
"""Fields of POST /tokenize."""

DETOKENIZE_FIELDS: FieldTable = {
    "model": _copied("model"),
    "tokens": _copied("token_ids"),
}
"""Fields of POST /detokenize."""
