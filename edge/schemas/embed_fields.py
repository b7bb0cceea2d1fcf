"""What becomes of every field of requests for vectors, scores and labels: one table per dialect, as in `fields.py`.

Names are those of OpenAI, of Cohere and Jina (rerank), of vLLM and Text Embeddings Inference, and of gpt_server.
"""

from collections.abc import Mapping

from gpt_server.edge.schemas.base import FieldTable, Harmless, Honoured, Refused, Treatment

_HINT = "A hint for billing, abuse detection or caching at OpenAI; the answer does not depend on it."


def _copied(path: str) -> Honoured:
    return Honoured((path,), copied=True)


COMMON: Mapping[str, Treatment] = {
    "model": _copied("model"),
    "truncate_prompt_tokens": _copied("options.truncate_prompt_tokens"),
    "prompt_name": _copied("options.prompt_name"),
    "prompt": _copied("options.prompt"),
    "priority": _copied("options.priority"),
    "user": Harmless(_HINT),
    "add_special_tokens": Harmless("Texts always get the tokeniser's special tokens.", values=(True,)),
    "request_id": Refused("Send the header x-request-id instead."),
    "cache_salt": Refused("There is no cache."),
    "padding": Refused("Inputs are padded as their batch needs it."),
    "mm_processor_kwargs": Refused("Not supported."),
    "messages": Refused("Send texts, or objects with 'text' and 'image', as 'input'."),
    "chat_template": Refused("Templates come with the model; they are not taken from requests."),
}
"""Fields that all dialects share."""

EMBEDDING_FIELDS: FieldTable = {
    **COMMON,
    "input": Honoured(("inputs",)),
    "dimensions": _copied("dimensions"),
    "encoding_format": Honoured(),
    "output_dtype": Honoured(("format",)),
    "normalize": _copied("normalize"),
    "embed_dtype": Harmless("Vectors travel as float32; 'output_dtype' has smaller ones.", values=("float32",)),
    "endianness": Harmless("Bytes are little-endian, as the SDKs expect them.", values=("native", "little")),
    "query": Refused("POST /v1/rerank orders documents by a query."),
    "engine": Refused("Use 'model'."),
}
"""Fields of POST /v1/embeddings."""

RERANK_FIELDS: FieldTable = {
    **COMMON,
    "query": Honoured(("query",)),
    "documents": Honoured(("documents",)),
    "texts": Honoured(("documents",)),
    "top_n": _copied("top_n"),
    "return_documents": Honoured(),
    "return_text": Honoured(),
    "raw_scores": _copied("raw_scores"),
    "instruction": _copied("options.prompt"),
    "truncate": Honoured(("options.truncate_prompt_tokens",)),
    "truncation_direction": Harmless("The end of a text is cut.", values=("Right", "right")),
    "rank_fields": Harmless("A document's text is what is ranked.", values=(["text"],)),
    "max_chunks_per_doc": Harmless("Documents are not cut into chunks."),
    "max_tokens_per_doc": Refused("Use 'truncate_prompt_tokens', which counts query and document together."),
    "max_tokens_per_query": Refused("Use 'truncate_prompt_tokens', which counts query and document together."),
    "relevant_spans": Refused("Not supported."),
}
"""Fields of POST /v1/rerank, /v2/rerank and /rerank."""

SCORE_FIELDS: FieldTable = {
    **COMMON,
    "text_1": Honoured(("pairs",)),
    "text_2": Honoured(("pairs",)),
    "queries": Honoured(("pairs",)),
    "documents": Honoured(("pairs",)),
    "raw_scores": _copied("raw_scores"),
    "use_activation": Harmless("Scores are between 0 and 1; 'raw_scores' turns that off.", values=(True,)),
    "items": Refused("Use 'documents'."),
    "data_1": Refused("Use 'text_1'."),
    "data_2": Refused("Use 'text_2'."),
}
"""Fields of POST /v1/score and /score."""

CLASSIFY_FIELDS: FieldTable = {
    **COMMON,
    "input": Honoured(("inputs",)),
    "raw_scores": _copied("raw_scores"),
    "use_activation": Harmless("Scores are between 0 and 1; 'raw_scores' turns that off.", values=(True,)),
}
"""Fields of POST /v1/classify and /classify."""

MODERATION_FIELDS: FieldTable = {
    "model": _copied("model"),
    "input": Honoured(("inputs",)),
    "threshold": Honoured(),
    "user": Harmless(_HINT),
    "safety_identifier": Harmless(_HINT),
}
"""Fields of POST /v1/moderations."""
