"""Files that are read again when they change: certificates, tokens, keys."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)


def version_of(file: Path) -> object:
    """Returns what changes whenever the file is replaced or written; `None` while there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


class Content(Generic[T]):
    """What files hold.

    Args:
        files: those that it is read from; may be none.
        read: reads them.

    Raises:
        OSError, ValueError: from `read`, at first. Later the last good content stays, and the log says why.
    """

    def __init__(self, files: Sequence[Path], read: Callable[[], T]) -> None:
        self._files = files
        self._read = read
        self.version = self._versions()
        """Differs after each change."""
        self._content = read()

    def now(self) -> T:
        """Returns the content; it costs a look at each file's times."""
        if self._files and (version := self._versions()) != self.version:
            self.version = version
            try:
                self._content = self._read()
            except (OSError, ValueError) as error:
                log.error("what was read before stays in force: %s", error)
            else:
                log.info("read again: %s", ", ".join(map(str, self._files)))
        return self._content

    def _versions(self) -> object:
        return [version_of(file) for file in self._files]
