"""Files to samples and back, by FFmpeg through PyAV, as a stream and in bounded memory. Everything here blocks.

`upload.py` is what is read from, `threads.py` takes it off the event loop.
"""

import io
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import av
import av.error
import av.filter
import numpy as np
from av.audio.stream import AudioStream

from gpt_server.services.audio.engine import AudioFormat, PcmFormat, Samples
from gpt_server.services.common.errors import InvalidMedia

FORMATS = "aac,aiff,amr,ape,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mp4,mpeg,mpegts,ogg,tta,voc,w64,wav,webm,wv,s16le"
"""Containers that are read. Those that refer to other files or addresses, such as playlists, are not among them."""
PIECE_S = 1.0
BUFFER_BYTES = 8192
"""What FFmpeg waits for before it begins with raw samples: a quarter of a second of them."""
MPEG_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
ANY_RATE_HZ = (8_000, 48_000)


@dataclass(frozen=True, slots=True)
class Form:
    """How a format is made. `rates_hz`: all there are, or for `any_rate` the least and the most."""

    container: str
    codec: str
    sample_format: str
    rates_hz: tuple[int, ...] = ANY_RATE_HZ
    bit_rate: int = 0
    options: tuple[tuple[str, str], ...] = ()

    @property
    def any_rate(self) -> bool:
        """Whether all rates between the least and the most are allowed."""
        return self.rates_hz is ANY_RATE_HZ


FORMS: dict[AudioFormat, Form] = {
    "pcm": Form("s16le", "pcm_s16le", "s16"),
    "wav": Form("wav", "pcm_s16le", "s16", options=(("fflags", "+bitexact"),)),
    "mp3": Form("mp3", "libmp3lame", "s16p", MPEG_RATES_HZ, 64_000, (("write_xing", "0"),)),
    "opus": Form(
        "ogg", "libopus", "flt", (8_000, 12_000, 16_000, 24_000, 48_000), 48_000, (("page_duration", "100000"),)
    ),
    "aac": Form("adts", "aac", "fltp", MPEG_RATES_HZ, 64_000),
    "flac": Form("flac", "flac", "s16"),
}


def nearest_rate_hz(form: Form, rate_hz: int) -> int:
    """Returns the rate that a format has: this one, else the next above it, else its highest."""
    if form.any_rate:
        return min(max(rate_hz, form.rates_hz[0]), form.rates_hz[-1])
    return next((rate for rate in form.rates_hz if rate >= rate_hz), form.rates_hz[-1])


@dataclass(frozen=True, slots=True)
class Sound:
    """What is known of a file before it is decoded."""

    sample_rate_hz: int
    channels: int


class Decoder:
    """Decodes a file, or raw samples. `field`: how it is called in the request, for errors."""

    def __init__(self, file: BinaryIO | Any, rate_hz: int, field: str, pcm: PcmFormat | None = None) -> None:
        self._file = file
        self._rate_hz = rate_hz
        self._field = field
        self._pcm = pcm
        self._container: Any = None

    def open(self) -> Sound:
        """Reads the beginning and says what it is. Raises `InvalidMedia`: nothing that can be decoded."""
        options = {"format_whitelist": FORMATS}
        if self._pcm is not None:
            layout = "stereo" if self._pcm.channels == 2 else "mono"
            options |= {"sample_rate": str(self._pcm.sample_rate_hz), "ch_layout": layout}
            options |= {
                "probesize": "32",
                "analyzeduration": "0",
            }  # there is nothing to find out, and more may not come
        form = "s16le" if self._pcm is not None else None
        try:
            self._container = av.open(
                self._file, format=form, options=options, metadata_errors="ignore", buffer_size=BUFFER_BYTES
            )
        except (av.error.FFmpegError, ValueError) as error:
            raise self._invalid(error) from None
        if not self._container.streams.audio:
            raise InvalidMedia(self._field, "must have sound; there is none in this file")
        context = self._container.streams.audio[0].codec_context
        return Sound(context.sample_rate, context.channels)

    def samples(self) -> Generator[Samples, None, None]:
        """Yields the sound in pieces of about a second. Raises `InvalidMedia`: there is nothing in it."""
        try:
            yield from self._gathered()
        finally:
            self._container.close()

    def _gathered(self) -> Iterator[Samples]:
        waiting: list[Samples] = []
        length = total = 0
        for piece in self._decoded():
            waiting.append(piece)
            length += len(piece)
            if length >= PIECE_S * self._rate_hz:
                yield np.concatenate(waiting)
                waiting, total, length = [], total + length, 0
        if waiting:
            yield np.concatenate(waiting)
        elif not total:
            raise InvalidMedia(self._field, "must have sound; nothing in it can be decoded")

    def _decoded(self) -> Iterator[Samples]:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=self._rate_hz)
        for packet in self._container.demux(audio=0):
            for frame in self._frames(packet):
                frame.pts = None
                for resampled in resampler.resample(frame):
                    yield resampled.to_ndarray()[0]
        for resampled in resampler.resample(None):
            yield resampled.to_ndarray()[0]

    def _frames(self, packet: Any) -> list[Any]:
        """Returns the frames of a packet; none of one that is damaged, as players do."""
        try:
            frames: list[Any] = packet.decode()
        except av.error.InvalidDataError:
            return []
        return frames

    def _invalid(self, error: Exception) -> InvalidMedia:
        if isinstance(error, av.error.EOFError):
            return InvalidMedia(
                self._field, "must have at least one second of sound; it is empty or ends in its header"
            )
        return InvalidMedia(self._field, "must be sound in a format that FFmpeg reads, such as WAV, MP3, M4A or Ogg")


def decode_whole(content: bytes, rate_hz: int, field: str, least_s: float, most_s: float) -> Samples:
    """Returns a short recording. Raises `InvalidMedia`: it cannot be decoded, or is too short or too long."""
    decoder = Decoder(io.BytesIO(content), rate_hz, field)
    decoder.open()
    pieces: list[Samples] = []
    for piece in decoder.samples():
        pieces.append(piece)
        if sum(map(len, pieces)) > most_s * rate_hz:
            raise InvalidMedia(field, f"must be at most {most_s:g} s long")
    samples = np.concatenate(pieces)
    if len(samples) < least_s * rate_hz:
        raise InvalidMedia(field, f"must be at least {least_s:g} s long; it is {len(samples) / rate_hz:.2f} s")
    return samples


class _Written(io.RawIOBase):
    """What FFmpeg writes to: it cannot go back, and keeps what has not been taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: Any, /) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


class Encoder:
    """Encodes speech while it comes.

    Args:
        form: what it becomes.
        input_rate_hz: samples per second of what comes.
        rate_hz: of what it becomes, one that the form has.
        speed: how many times faster it becomes, at the same pitch; 0.25 to 4.
    """

    def __init__(self, form: Form, input_rate_hz: int, rate_hz: int, speed: float = 1.0) -> None:
        self._input_rate_hz = input_rate_hz
        self._rate_hz = rate_hz
        self._written = _Written()
        options = {"flush_packets": "1", **dict(form.options)}
        self._container: Any = av.open(self._written, "w", format=form.container, options=options)
        self._stream = cast("AudioStream", self._container.add_stream(form.codec, rate=rate_hz))
        self._stream.codec_context.layout = "mono"
        self._stream.codec_context.format = form.sample_format
        if form.bit_rate:
            self._stream.codec_context.bit_rate = form.bit_rate
        self._resampler = av.AudioResampler(format=form.sample_format, layout="mono", rate=rate_hz)
        self._tempo: Any = _tempo(input_rate_hz, speed) if speed != 1 else None
        self._samples = 0

    @property
    def duration_s(self) -> float:
        """Length of what was encoded so far, in seconds."""
        return self._samples / self._rate_hz

    def add(self, samples: Samples) -> bytes:
        """Returns what is new after the next samples; may be empty."""
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[None], format="flt", layout="mono")
        frame.sample_rate = self._input_rate_hz
        if self._tempo is None:
            self._encode(frame)
        else:
            self._tempo.push(frame)
            self._drain()
        return self._written.take()

    def end(self) -> bytes:
        """Returns the rest."""
        if self._tempo is not None:
            self._tempo.push(None)
            self._drain()
        self._encode(None)
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        self._container.close()
        return self._written.take()

    def _drain(self) -> None:
        while True:
            try:
                self._encode(self._tempo.pull())
            except (av.error.BlockingIOError, av.error.EOFError):
                return

    def _encode(self, frame: Any) -> None:
        if frame is not None:
            frame.pts = None
        for resampled in self._resampler.resample(frame):
            self._samples += resampled.samples
            for packet in self._stream.encode(resampled):
                self._container.mux(packet)


def _tempo(rate_hz: int, speed: float) -> Any:
    """Returns FFmpeg's filter that changes the speed; one goes down to a half, so slower is done in two steps."""
    graph = av.filter.Graph()
    steps = [speed] if speed >= 0.5 else [speed**0.5] * 2
    source = graph.add_abuffer(sample_rate=rate_hz, format="flt", layout="mono")
    filters = [graph.add("atempo", f"{step:.6f}") for step in steps]
    graph.link_nodes(source, *filters, graph.add("abuffersink")).configure()
    return graph
