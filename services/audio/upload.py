"""A file that is still arriving: written on one side, read by FFmpeg on the other, kept on the disk meanwhile."""

import io
import tempfile
import threading

from gpt_server.services.common.errors import PayloadTooLarge

MAX_BYTES = 2 * 1024**3


class Upload(io.RawIOBase):
    """The file. Reading waits for what has not come; so does going to its end. It has no name and outlives nobody.

    Written and closed by one thread, read by another.

    Args:
        seekable: whether FFmpeg may go back and forth in it; it then wants to know where the end is before it begins.
    """

    def __init__(self, seekable: bool = True) -> None:
        self._seekable = seekable
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        self._changed = threading.Condition()
        self._length = 0
        self._at = 0
        self._whole = False

    def add(self, piece: bytes) -> None:
        """Appends bytes. Raises `PayloadTooLarge`."""
        with self._changed:
            if self._length + len(piece) > MAX_BYTES:
                raise PayloadTooLarge(f"the sound is larger than {MAX_BYTES} bytes, the most allowed")
            self._file.seek(self._length)
            self._file.write(piece)
            self._length += len(piece)
            self._changed.notify_all()

    def finish(self) -> None:
        """Says that nothing more will come."""
        with self._changed:
            self._whole = True
            self._changed.notify_all()

    def give_up(self) -> None:
        """Makes the reader find an end at once."""
        with self._changed:
            self._length = self._at = 0
            self._whole = True
            self._changed.notify_all()

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """Says whether it is."""
        return self._seekable

    def read(self, size: int = -1) -> bytes:
        """Returns the next bytes, as soon as there are any; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._whole or self._length > self._at)
            self._file.seek(self._at)
            found = self._file.read(min(size if size >= 0 else self._length, self._length - self._at))
            self._at += len(found)
            return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Goes to a place; to one from the end, when that is known."""
        with self._changed:
            if whence == io.SEEK_END:
                self._changed.wait_for(lambda: self._whole)
            start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
            self._at = max(0, start + offset)
            return self._at

    def tell(self) -> int:
        """Returns the place."""
        return self._at

    def close(self) -> None:
        """Removes the file."""
        self._file.close()
        super().close()
