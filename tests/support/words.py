"""How well words were understood."""

import re


def wrong_words(said: str, heard: str) -> int:
    """Returns how many words were left out, put in or mistaken; case and punctuation do not count."""
    wanted, got = (re.findall(r"[\w']+", text.lower()) for text in (said, heard))
    row = list(range(len(got) + 1))
    for i, word in enumerate(wanted, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(got, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]
