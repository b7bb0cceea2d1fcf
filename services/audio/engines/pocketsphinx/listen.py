"""The process that PocketSphinx runs in. A request is an utterance, as raw samples; the answer is its words in JSON."""

import json
import re
from collections.abc import Iterator

from pocketsphinx import Decoder

from gpt_server.services.audio.frames import answer_requests

RATE_HZ = 16_000
FRAMES_A_SECOND = 100
NO_WORD = re.compile(r"<.*>|\[.*\]|\+\+.*\+\+")
PRONUNCIATION = re.compile(r"\(\d+\)$")


def main() -> None:
    """Answers requests until the parent is gone."""
    # Means of a whole utterance: with those of what came before, the same sound would not always be the same text.
    decoder = Decoder(samprate=RATE_HZ, frate=FRAMES_A_SECOND, cmn="batch", loglevel="FATAL")
    answer_requests(lambda samples: _heard(decoder, samples))


def _heard(decoder: Decoder, samples: bytes) -> Iterator[bytes]:
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
    if decoder.hyp() is not None:
        words = [
            (PRONUNCIATION.sub("", found.word), found.start_frame / FRAMES_A_SECOND, found.end_frame / FRAMES_A_SECOND)
            for found in decoder.seg()
            if not NO_WORD.fullmatch(found.word)
        ]
        yield json.dumps(words).encode()


if __name__ == "__main__":
    main()
