"""What becomes of every field of a request: one table per dialect.

A field that is `copied` goes into the named field of the request message as it is; the same path, read backwards,
names the OpenAI parameter when a service complains about the field. Names are those of OpenAI's API reference, of
vLLM's extensions to it, and of gpt_server's.
"""

from gpt_server.edge.schemas.base import FieldTable, Harmless, Honoured, Refused, Treatment

_HINT = "A hint for billing, abuse detection or caching at OpenAI; the answer does not depend on it."

_MEDIA = "How media are read is the engine's configuration; scale pictures before you send them, or set 'detail'."
_PLACED = "Which replica computes what is decided by the service; it cannot be told so by a request."


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
    "bad_words": _sampling("bad_words"),
    "allowed_token_ids": _sampling("allowed_token_ids"),
    "prompt_logprobs": _sampling("prompt_logprobs"),
    "add_special_tokens": _copied("add_special_tokens"),
    "truncate_prompt_tokens": _copied("truncate_prompt_tokens"),
    "cache_salt": _copied("cache_salt"),
    "return_tokens_as_token_ids": Honoured(),
    "thinking_token_budget": _copied("reasoning.max_tokens"),
    "priority": _copied("priority"),
    "return_token_ids": Honoured(("return_token_ids",)),
    "stream": Honoured(),
    "stream_options": Honoured(),
    "user": Honoured(),
    "session_id": Honoured(),
    "spaces_between_special_tokens": Harmless("Tokens are always joined as the tokeniser does.", values=(True,)),
    "use_beam_search": _off("Beam search"),
    "length_penalty": Harmless("Belongs to beam search, which is not supported.", values=(1.0,)),
    "logits_processors": Refused("Code is not taken from requests."),
    "truncation_side": Harmless("The start of a prompt is what 'truncate_prompt_tokens' cuts off.", values=("left",)),
    "stream_interval": Harmless("Tokens that are ready together are sent together; the text is the same."),
    "mm_payload": Harmless("Belongs to vLLM's rendering of prompts; the answer does not depend on it."),
    "return_mm_kwargs": _off("Returning what a picture became"),
    "return_token_offsets": _off("Returning where tokens begin"),
    "routed_experts_prompt_start": Harmless("Which experts a token took is not reported.", values=(0,)),
    "watermarking": _off("Watermarking"),
    "logprob_token_ids": Refused("Ask for the likeliest tokens, up to 20 of them, with 'top_logprobs' or 'logprobs'."),
    "repetition_detection": Refused("Use 'frequency_penalty' or 'repetition_penalty' against loops."),
    "kv_transfer_params": Refused(_PLACED),
    "ec_transfer_params": Refused(_PLACED),
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
    "functions": Honoured(("chat.tools",)),
    "function_call": Honoured(("chat.tool_choice",)),
    "parallel_tool_calls": _copied("chat.parallel_tool_calls"),
    "reasoning_effort": Honoured(("reasoning.effort",)),
    "enable_thinking": _copied("reasoning.enabled"),
    "include_reasoning": Honoured(),
    "chat_template_kwargs": Honoured(("chat.template_args_json",)),
    "documents": Honoured(("chat.template_args_json",)),
    "add_generation_prompt": _copied("chat.add_generation_prompt"),
    "continue_final_message": _copied("chat.continue_final_message"),
    "metadata": Harmless("Belongs to stored completions; nothing is stored."),
    "store": _off("Storing completions"),
    "safety_identifier": Harmless(_HINT),
    "prompt_cache_key": Honoured(),
    "prompt_cache_options": Harmless(_HINT),
    "prompt_cache_retention": Harmless(_HINT),
    "prediction": Harmless("Makes OpenAI's answer faster; it does not change it."),
    "service_tier": Honoured(),
    "verbosity": Harmless("Open models have no such control: ask for it in a message.", values=("medium",)),
    "modalities": Harmless("Chat answers in text; /v1/audio/speech is for sound.", values=(["text"],)),
    "echo": _off("Repeating the last message"),
    "audio": Refused("Chat answers in text."),
    "moderation": Refused("Answers are not moderated; call a moderation model yourself."),
    "web_search_options": Refused("There is no web search; offer your own as a tool."),
    "chat_template": Refused("Templates come with the model; they are not taken from requests."),
    "mm_processor_kwargs": Refused(_MEDIA),
    "media_io_kwargs": Refused(_MEDIA),
    "return_prompt_text": Harmless(
        "POST /detokenize makes text of the ids that 'return_token_ids' returns.", values=(False,)
    ),
}
"""Fields of POST /v1/chat/completions."""

COMPLETION_FIELDS: FieldTable = COMMON | {
    "prompt": Honoured(("text", "token_ids")),
    "echo": Honoured(),
    "logprobs": Honoured(("sampling.top_logprobs",)),
    "best_of": Honoured(),
    "response_format": Honoured(("structured_output",)),
    "suffix": Refused("Filling in the middle is not supported; write the model's own marks for it into 'prompt'."),
    "prompt_embeds": Refused("Vectors are not taken as a prompt; send text or token ids."),
}
"""Fields of POST /v1/completions."""

TOKENIZE_FIELDS: FieldTable = {
    "model": _copied("model"),
    "prompt": _copied("text"),
    "messages": Honoured(("chat.messages",)),
    "tools": Honoured(("chat.tools",)),
    "chat_template_kwargs": Honoured(("chat.template_args_json",)),
    "documents": Honoured(("chat.template_args_json",)),
    "add_generation_prompt": _copied("chat.add_generation_prompt"),
    "continue_final_message": _copied("chat.continue_final_message"),
    "add_special_tokens": _copied("add_special_tokens"),
    "return_token_strs": _copied("return_token_strings"),
    "chat_template": Refused("Templates come with the model; they are not taken from requests."),
    "mm_processor_kwargs": Refused(_MEDIA),
    "media_io_kwargs": Refused(_MEDIA),
}
"""Fields of POST /tokenize."""

DETOKENIZE_FIELDS: FieldTable = {
    "model": _copied("model"),
    "tokens": _copied("token_ids"),
}
"""Fields of POST /detokenize."""

LOAD_ADAPTER_FIELDS: FieldTable = {
    "lora_name": _copied("name"),
    "lora_path": _copied("folder"),
    "base_model_name": _copied("model"),
    "load_inplace": _copied("replace"),
    "is_3d_lora_weight": _off("A special layout of weights"),
}
"""Fields of POST /v1/load_lora_adapter."""

UNLOAD_ADAPTER_FIELDS: FieldTable = {
    "lora_name": _copied("adapter"),
    "lora_int_id": Harmless("A number of vLLM's own; the name says which adapter it is."),
}
"""Fields of POST /v1/unload_lora_adapter."""
