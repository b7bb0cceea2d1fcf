"""Who may call: tokens in the metadata of calls, `authorization: Bearer <token>`, where a service wants them."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

from gpt_server.services.common.files import Content

AUTHORIZATION = "authorization"


class Tokens:
    """The tokens of a file: one a line, `name:token` or `token`; `#` starts a comment. Read again when it changes.

    Raises:
        OSError, ValueError: the file cannot be read, or holds no token.
    """

    def __init__(self, file: Path) -> None:
        self._names = Content([file], lambda: _read(file))

    def name_of(self, metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
        """Returns the name of the token that a call shows; `None` if it shows none that is known."""
        shown = next((value for key, value in metadata if key == AUTHORIZATION), "")
        scheme, _, token = shown.partition(" ") if isinstance(shown, str) else ("", "", "")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        digest = _digest(token.strip())
        # All are compared, so that the time says nothing about which one came close.
        matches = [name for name, known in self._names.now().items() if hmac.compare_digest(known, digest)]
        return matches[0] if matches else None


def _read(file: Path) -> Mapping[str, bytes]:
    tokens: dict[str, bytes] = {}
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    for line in (line for line in lines if line and not line.startswith("#")):
        name, separator, token = (part.strip() for part in line.partition(":"))
        if not separator:
            name, token = f"token-{len(tokens) + 1}", line
        if not name or not token or name in tokens:
            raise ValueError(f"{file}: entry {len(tokens) + 1} needs a name of its own and a token: name:token")
        tokens[name] = _digest(token)
    if not tokens:
        raise ValueError(f"{file}: holds no token")
    return tokens


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
