"""Image files that callers fetch by URL: in a folder or in a bucket, under names that nobody guesses, for a time.

The name is the key: 192 random bits. Whoever has it gets the file, without an API key, as browsers and image viewers
need it; there is no listing. Edges that share the folder or the bucket serve what another of them has made.
"""

import os
import re
import secrets
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from obstore import exceptions
from obstore.store import LocalStore, ObjectStore, S3Store

from gpt_server.edge.errors import ApiError
from gpt_server.edge.files_config import FileSettings, S3Settings

NAME = re.compile(r"[A-Za-z0-9_-]{32}\.(png|jpeg|webp)")
RANDOM_BYTES = 24
if TYPE_CHECKING:
    from obstore.store import S3Config


class FileStore:
    """The folder, or the bucket. Methods raise `obstore.exceptions.BaseError` when it cannot be reached."""

    def __init__(self, settings: FileSettings) -> None:
        self._settings = settings

    async def put(self, content: bytes, extension: str) -> str:
        """Keeps a file and returns its name. The oldest go where there is no more room.

        Raises:
            ApiError: PAYLOAD_TOO_LARGE: it is larger than all that may be kept.
        """
        if len(content) > self._settings.max_total_bytes:
            raise ApiError("PAYLOAD_TOO_LARGE", "The image is too large to be kept; ask for 'b64_json'.")
        await self._make_room(len(content))
        name = f"{secrets.token_urlsafe(RANDOM_BYTES)}.{extension}"
        await self._store.put_async(name, content)
        return name

    async def get(self, name: str) -> bytes | None:
        """Returns a file's content; `None` if there is none of that name, or its time is over."""
        if not NAME.fullmatch(name):
            return None
        try:
            found = await self._store.get_async(name)
            if found.meta["last_modified"] < self._oldest():
                await self._store.delete_async(name)
                return None
            return bytes(await found.bytes_async())
        except (FileNotFoundError, exceptions.NotFoundError):
            return None

    @cached_property
    def _store(self) -> ObjectStore:
        return _bucket(self._settings.s3) if self._settings.s3 else _folder(self._settings.folder)

    def _oldest(self) -> datetime:
        return datetime.now(UTC) - timedelta(seconds=self._settings.expires_s)

    async def _make_room(self, wanted_bytes: int) -> None:
        oldest, over, kept = self._oldest(), [], []
        async for found in self._store.list_async():
            for file in found:
                if file["last_modified"] < oldest:
                    over.append(file["path"])
                else:
                    kept.append((file["last_modified"], file["size"], file["path"]))
        room = self._settings.max_total_bytes - wanted_bytes - sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if room >= 0:
                break
            over.append(path)
            room += size
        for path in over:
            try:
                await self._store.delete_async(path)
            except (FileNotFoundError, exceptions.NotFoundError):  # another edge was faster
                continue


def _folder(folder: Path | None) -> LocalStore:
    folder = folder or Path(tempfile.gettempdir()) / f"gpt-server-files-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return LocalStore(folder)


def _bucket(settings: S3Settings) -> S3Store:
    """Opens a bucket. Keys that the settings do not name are those that AWS's libraries find by themselves."""
    config: S3Config = {}
    if settings.endpoint:
        config["endpoint"] = settings.endpoint
    if settings.region:
        config["region"] = settings.region
    if settings.access_key_id and settings.secret_access_key_file:
        config["access_key_id"] = settings.access_key_id
        config["secret_access_key"] = settings.secret_access_key_file.read_text(encoding="utf-8").strip()
    return S3Store(
        settings.bucket,
        prefix=settings.prefix or None,
        config=config,
        client_options={"allow_http": (settings.endpoint or "").startswith("http:")},
        virtual_hosted_style_request=settings.virtual_hosted_style,
    )
