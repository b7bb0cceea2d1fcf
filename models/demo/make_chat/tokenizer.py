"""The tokenizer of demo-chat: a small byte-level BPE that makes copying easy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from .tables import words

VOCAB_SIZE = 1280
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# Single tokens, but not "special": a text parser must still see them when special tokens are
# skipped. This is how the tokenizer of Qwen3 marks them, too.
MARKERS = (
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)
TEMPLATE_FILE = Path(__file__).with_name("chat_template.jinja")

# Only these words carry their leading space; before any other word the space is a token of its
# own. So a value has the same tokens in a sentence (in Zurich) and in JSON ("Zurich"), which lets a
# very small model copy values it has never seen. The listed words keep sentences short.
GLUED = words(
    "the a an is are was in on of to for and or at by it you me my your what how with from "
    "this that can do i am not be as have has will please one more"
)
PATTERN = "|".join(
    (
        rf" (?:{'|'.join(GLUED)})(?![\p{{L}}\p{{N}}])",  # a function word with its space
        r"'(?:s|t|re|ve|m|ll|d)(?!\p{L})",  # English contractions
        r"\p{L}+",  # a word
        r"\p{N}",  # one digit
        r" ?[^\s\p{L}\p{N}]",  # one punctuation mark
        r"\n+",
        r"\s",  # one space
    )
)
# In JSON, marks come in runs; these runs are merged on purpose, all other marks stay alone.
RUNS = r'\{"|"\}\}|"\}|": \{"|": \["|": "|": |", "|"\], "|"\]|\}, "|\}\}|", \{"|\}, \{"'


def build_tokenizer(texts: Iterable[str], vocab_size: int = VOCAB_SIZE) -> PreTrainedTokenizerFast:
    """Train the byte-level BPE on rendered dialogues; all 256 bytes are in its alphabet."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(f"{RUNS}|{PATTERN}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(MARKERS),
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=list(SPECIAL),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    core.add_tokens([AddedToken(text, normalized=False, special=False) for text in MARKERS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=SPECIAL[2],
        pad_token=SPECIAL[0],
        additional_special_tokens=list(SPECIAL[1:]),
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATE_FILE.read_text(encoding="utf-8")
    return tokenizer
