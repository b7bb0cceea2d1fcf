"""A child process for tests of `services.audio.children`: says each letter of a request; at an `!` it ends."""

import os
from collections.abc import Iterator

from gpt_server.services.audio.frames import answer_requests


def _letters(request: bytes) -> Iterator[bytes]:
    yield str(os.getpid()).encode()
    for letter in request.decode():
        if letter == "!":
            os._exit(1)
        yield letter.encode()


if __name__ == "__main__":
    answer_requests(_letters)
