"""The sound of one call: its bytes arrive on one side, its samples leave on the other."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from gpt_server.audio.v1.transcription_pb2 import TranscribeRequest
from gpt_server.services.audio.codec import Decoder, Sound
from gpt_server.services.audio.engine import PcmFormat, Samples
from gpt_server.services.audio.threads import in_thread, pulled
from gpt_server.services.audio.upload import Upload
from gpt_server.services.common.errors import InvalidField, InvalidMedia, ServiceError


class Incoming:
    """A context: while it is open, messages are received into a file on the disk, which is decoded meanwhile."""

    def __init__(self, messages: AsyncIterator[TranscribeRequest], pcm: PcmFormat | None, rate_hz: int) -> None:
        self._messages = messages
        self._rate_hz = rate_hz
        self._upload = Upload(seekable=pcm is None)
        self._decoder = Decoder(self._upload, rate_hz, "audio", pcm)
        self._samples = 0

    async def __aenter__(self) -> Self:
        self._receiving = asyncio.create_task(self._receive())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._receiving.cancel()
        with suppress(asyncio.CancelledError, ServiceError):
            await self._receiving
        self._upload.give_up()
        self._upload.close()

    @property
    def duration_s(self) -> float:
        """Length of what was decoded so far, in seconds."""
        return self._samples / self._rate_hz

    async def open(self) -> Sound:
        """Returns what the sound is, as soon as enough of it is there. Raises `InvalidMedia`."""
        try:
            return await in_thread(self._decoder.open, self._upload.give_up)
        except InvalidMedia:
            self._raise_fault()
            raise

    async def samples(self) -> AsyncGenerator[Samples, None]:
        """Yields the sound. Raises `InvalidMedia`, and what is wrong with the messages."""
        pieces = pulled(self._decoder.samples(), self._upload.give_up)
        try:
            async for piece in pieces:
                self._samples += len(piece)
                yield piece
        except InvalidMedia:
            self._raise_fault()
            raise
        finally:
            await pieces.aclose()
        self._raise_fault()

    def _raise_fault(self) -> None:
        """Raises why receiving has ended early, if it has."""
        if self._receiving.done() and not self._receiving.cancelled() and (fault := self._receiving.exception()):
            raise fault

    async def _receive(self) -> None:
        received = 0
        try:
            async for message in self._messages:
                if message.WhichOneof("content") != "audio":
                    raise InvalidField("audio", "must be in every message after the first, which has config")
                received += len(message.audio)
                self._upload.add(message.audio)
            if not received:
                raise InvalidMedia("audio", "must have at least one byte; it is empty")
            self._upload.finish()
        except BaseException:
            self._upload.give_up()
            raise
