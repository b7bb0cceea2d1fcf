"""Image files that callers fetch by URL: in a folder, under names that nobody guesses, for a time.

The name is the key: 192 random bits. Whoever has it gets the file, without an API key, as browsers and image viewers
need it; there is no listing. All edges of a machine share the folder, so any of them serves what another has made.
"""

import os
import re
import secrets
import tempfile
import time
from pathlib import Path

from gpt_server.edge.config import FileSettings
from gpt_server.edge.errors import ApiError

NAME = re.compile(r"[A-Za-z0-9_-]{32}\.(png|jpeg|webp)")
RANDOM_BYTES = 24


class FileStore:
    """The folder. Its methods block: call them in a thread."""

    def __init__(self, settings: FileSettings) -> None:
        self._settings = settings
        self._folder = settings.folder or Path(tempfile.gettempdir()) / f"gpt-server-files-{os.getuid()}"

    def put(self, content: bytes, extension: str) -> str:
        """Keeps a file and returns its name. The oldest go where there is no more room.

        Raises:
            ApiError: PAYLOAD_TOO_LARGE: it is larger than all that may be kept.
        """
        if len(content) > self._settings.max_total_bytes:
            raise ApiError("PAYLOAD_TOO_LARGE", "The image is too large to be kept; ask for 'b64_json'.")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_room(len(content))
        name = f"{secrets.token_urlsafe(RANDOM_BYTES)}.{extension}"
        draft = self._folder / f".{name}"
        draft.write_bytes(content)
        draft.replace(self._folder / name)
        return name

    def get(self, name: str) -> bytes | None:
        """Returns a file's content; `None` if there is none of that name, or its time is over."""
        if not NAME.fullmatch(name):
            return None
        path = self._folder / name
        try:
            if time.time() - path.stat().st_mtime > self._settings.expires_s:
                path.unlink(missing_ok=True)
                return None
            return path.read_bytes()
        except FileNotFoundError:
            return None

    def _make_room(self, wanted_bytes: int) -> None:
        now_s = time.time()
        kept: list[tuple[float, int, Path]] = []
        for path in self._folder.iterdir():
            try:
                status = path.stat()
            except FileNotFoundError:  # another edge was faster
                continue
            if now_s - status.st_mtime > self._settings.expires_s:
                path.unlink(missing_ok=True)
            else:
                kept.append((status.st_mtime, status.st_size, path))
        room = self._settings.max_total_bytes - wanted_bytes - sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if room >= 0:
                break
            path.unlink(missing_ok=True)
            room += size
