"""Encoded sound to samples, off the event loop: WebM and Ogg with Opus, MP3 and WAV, to 16 kHz mono.

WAV is read with nothing but the standard library; PyAV decodes the others, where it is installed (requirements-webm.txt). Its demuxer is
not used: it would need a thread per recording that waits for the next piece, and would read whatever container somebody sends.
"""

import asyncio
import importlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, cast

import structlog

from audio.errors import NotDecoded, TooLong, Unreadable
from audio.formats import Format, format_of
from audio.ogg import OggReader
from audio.recordings import HERTZ, SAMPLE_BYTES, Recording
from audio.wav import PCM, MakeSamples, Samples, WavRecording, wav_file

log = structlog.get_logger()

THREADS: Final = 2
"""They serve hundreds of recorders: a second of speech takes 2 ms to decode (measured)."""
PORTION_BYTES: Final = 4 * 1024
"""What of a file is decoded at once: between two portions a limit can end it, and somebody else has the thread. Silence
alone, in packets of two bytes for 20 ms, is less than half a minute of it."""
_CODECS: Final = "audio.ffmpeg"


class Codecs(Protocol):
    """The module with PyAV."""

    OpusRecording: Callable[..., Recording]
    Mp3Recording: Callable[[], Recording]
    PlainSamples: MakeSamples
    compressed: Callable[[bytes, int, Format], bytes]


@dataclass(frozen=True, slots=True)
class FileLimits:
    """What one file may take."""

    seconds: float = 120.0
    """Of sound."""
    decoding_seconds: float = 30.0
    """Of time."""


class AudioDecoding:
    """The decoders of one server, and the threads that they run in.

    Args:
        threads: how many.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._makers: dict[str, Callable[[], Recording]] = {}
        self._make_samples: MakeSamples = Samples
        self._compressed: Callable[[bytes, int, Format], bytes] | None = None

    @property
    def encodings(self) -> frozenset[str]:
        """Names of the formats that are decoded; none before `start`, WAV alone without PyAV."""
        return frozenset(self._makers)

    async def start(self) -> None:
        """Load what is installed: that takes a fifth of a second, which no conversation shall wait for."""
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="audio-decoding")
        self._makers[Format.WAV] = WavRecording
        try:
            codecs = cast("Codecs", await asyncio.to_thread(importlib.import_module, _CODECS))
        except ImportError as error:
            log.info("webm.unavailable", reason=f"{error}; see requirements-webm.txt")
            return
        self._makers[Format.WEBM] = codecs.OpusRecording
        self._makers[Format.OGG] = lambda: codecs.OpusRecording(OggReader())
        self._makers[Format.MP3] = codecs.Mp3Recording
        self._make_samples = codecs.PlainSamples
        self._compressed = codecs.compressed
        self._makers[Format.WAV] = lambda: WavRecording(codecs.PlainSamples)

    @property
    def written(self) -> tuple[Format, ...]:
        """The formats that are written, the smallest first; WAV alone without PyAV."""
        return (Format.WAV,) if self._compressed is None else (Format.OGG, Format.WEBM, Format.MP3, Format.WAV)

    def close(self) -> None:
        """Let the threads end; what they are at is finished for nobody."""
        self._makers.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def open(self, encoding: str) -> Recording:
        """Begin a recording.

        Raises:
            NotDecoded: there is no decoder for it.
        """
        if encoding not in self._makers:
            raise NotDecoded(f"This server has no decoder for {encoding}.")
        return self._makers[encoding]()

    async def decode(self, recording: Recording, data: bytes) -> Sequence[bytes]:
        """Decode the next piece of a recording in a thread.

        Raises:
            AudioError: it cannot be decoded.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, recording.decode, data)

    async def run[T](self, work: Callable[[], T]) -> T:
        """Do something else with sound in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def encode(self, pcm: bytes, hertz: int, written: Format) -> bytes:
        """Return samples as a file of one of the formats in `written`.

        Args:
            pcm: signed 16-bit little-endian mono.
            hertz: their rate: 8,000, 16,000 or 24,000.
            written: the format.

        Raises:
            NotDecoded: the format is not written here.
        """
        if written is Format.WAV:
            return wav_file(pcm, hertz)
        if self._compressed is None or written not in self.written:
            raise NotDecoded(f"This server does not write {written}.")
        return await self.run(partial(self._compressed, pcm, hertz, written))

    async def decode_file(self, data: bytes, content_type: str, limits: FileLimits) -> bytes:
        """Decode a whole file.

        Args:
            data: the file.
            content_type: what it says that it is; without one, its first bytes tell.
            limits: what it may take.

        Returns:
            Signed 16-bit little-endian mono at 16 kHz.

        Raises:
            AudioError: it cannot be decoded, holds too much or no sound, or takes too long.
        """
        found, hertz = format_of(content_type, data)
        recording = self._make_samples(hertz, 1, PCM, 16) if found is Format.PCM else self.open(found)
        pcm, limit = bytearray(), round(limits.seconds * HERTZ) * SAMPLE_BYTES
        try:
            async with asyncio.timeout(limits.decoding_seconds):
                for start in range(0, len(data), PORTION_BYTES):
                    for piece in await self.run(partial(recording.decode, data[start : start + PORTION_BYTES])):
                        pcm += piece
                    if len(pcm) > limit:
                        raise TooLong(f"A recording can have {limits.seconds:.0f} s at most.")
                for piece in await self.run(recording.finish):
                    pcm += piece
        except TimeoutError:
            raise TooLong("It takes too long to decode.") from None
        if not pcm:
            raise Unreadable("there is no sound in it")
        return bytes(pcm)
