"""What every engine asks of a prompt: ids that there are, room in the window, and where in the reasoning it ends."""

from collections.abc import Callable, Sequence

from gpt_server.services.common.errors import ContextLengthExceeded, InvalidField, UnsupportedFeature
from gpt_server.services.llm.engine import Chat, GenerateRequest, Sampling, TokenizeRequest


def check_ids(field: str, token_ids: Sequence[int], vocab_size: int) -> None:
    """Raises `InvalidField` for the first id that is outside the vocabulary."""
    if bad := [token for token in token_ids if not 0 <= token < vocab_size]:
        raise InvalidField(field, f"token id {bad[0]} is outside the vocabulary (0 to {vocab_size - 1})")


def check_sampled_ids(sampling: Sampling, vocab_size: int) -> None:
    """Raises `InvalidField` for the first id in the options that is outside the vocabulary."""
    check_ids("sampling.stop_token_ids", sampling.stop_token_ids, vocab_size)
    check_ids("sampling.logit_bias", list(sampling.logit_bias), vocab_size)
    check_ids("sampling.allowed_token_ids", sampling.allowed_token_ids, vocab_size)


def adds_special_tokens(request: GenerateRequest | TokenizeRequest) -> bool:
    """Returns whether the tokenizer adds special tokens: those of a chat are written by its template."""
    return request.chat is None if request.add_special_tokens is None else request.add_special_tokens


def fit(request: GenerateRequest, prompt: list[int], limit: int, text_alone: bool = True) -> tuple[list[int], int]:
    """Returns the prompt, cut if that is asked for, and how many tokens may be sampled.

    Args:
        request: says what is kept of the prompt, and how many tokens are wanted.
        prompt: its ids.
        limit: the most tokens of prompt and output.
        text_alone: whether the prompt has no pictures, which could be cut through.

    Raises:
        ContextLengthExceeded: prompt and output do not fit.
        InvalidField: there is no prompt.
        UnsupportedFeature: a prompt with pictures is to be cut.
    """
    output = request.sampling.max_tokens
    if (keep := request.truncate_prompt_tokens) is not None:
        if not text_alone:
            raise UnsupportedFeature("truncate_prompt_tokens", "not for a prompt with pictures")
        keep = max(limit - (output or 1), 1) if keep == -1 else keep
        prompt = prompt[-keep:]
    if not prompt:
        raise InvalidField("text" if request.text is not None else "chat.messages", "the prompt has no tokens")
    room = limit - len(prompt)
    if room < (output or 1):
        raise ContextLengthExceeded(limit, len(prompt), output or 0)
    return prompt, output or room


def bad_words(words: Sequence[str], encode: Callable[[str], list[int]]) -> list[list[int]]:
    """Returns each word as tokens; with a space before it too, where that makes other tokens, but no more."""
    found: list[list[int]] = []
    for index, word in enumerate(words):
        plain, spaced = (encode(space + word.lstrip()) for space in ("", " "))
        if not plain:
            raise InvalidField(f"sampling.bad_words[{index}]", "has no tokens")
        found.append(plain)
        if len(spaced) == len(plain) and spaced[0] != plain[0]:
            found.append(spaced)
    return found


def reasoning_is_closed(prompt: str, end: str) -> bool:
    """Whether a rendered prompt ends right behind the reasoning, so that the model has none to come."""
    return prompt.rstrip().endswith(end)


def reasoning_is_open(prompt: str, chat: Chat, begin: str, end: str) -> bool:
    """Whether a rendered prompt ends inside the reasoning."""
    if prompt.rstrip().endswith(begin):
        return True
    if not chat.continue_final_message or not chat.messages:
        return False
    last = "".join(part.text or "" for part in chat.messages[-1].content)
    return last.rfind(begin) > last.rfind(end)
