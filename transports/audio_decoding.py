"""Encoded microphone audio to samples, off the event loop: WebM with Opus, as browsers record it, to 16 kHz mono.

PyAV decodes it, where it is installed (requirements-webm.txt). Its demuxer is not used: it would need a thread per recording that waits for
the next piece, and would read whatever container somebody sends. `webm.py` takes the packets out, and FFmpeg gets those alone.
"""

import asyncio
import importlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, cast

import structlog

from session.errors import UnsupportedFormat
from transports.dialects.interface import SendEncoded

log = structlog.get_logger()

WEBM: Final = "webm"
THREADS: Final = 2
"""They serve hundreds of recorders: a second of speech takes 2 ms to decode (measured)."""
_DECODER: Final = "transports.opus_decoder"


class Recording(Protocol):
    """One recording, from its head to its end."""

    def decode(self, data: bytes) -> Sequence[bytes]:
        """Return the samples of the next piece, in pieces that a session takes; may block for some milliseconds.

        Raises:
            SessionError: it cannot be decoded, nor can anything that follows in this recording.
        """


class AudioDecoding:
    """The decoders of one server, and the threads that they run in.

    Args:
        threads: how many.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._makers: dict[str, Callable[[], Recording]] = {}

    @property
    def encodings(self) -> frozenset[str]:
        """Names of the formats that are decoded; none before `start`, or without PyAV."""
        return frozenset(self._makers)

    async def start(self) -> None:
        """Load what is installed: that takes a fifth of a second, which no conversation shall wait for."""
        try:
            module = await asyncio.to_thread(importlib.import_module, _DECODER)
        except ImportError as error:
            log.info("webm.unavailable", reason=f"{error}; see requirements-webm.txt")
            return
        self._makers[WEBM] = cast("Callable[[], Recording]", module.OpusRecording)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="audio-decoding")

    def close(self) -> None:
        """Let the threads end; what they are at is finished for nobody."""
        self._makers.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def open(self, encoding: str) -> Recording:
        """Begin a recording.

        Raises:
            UnsupportedFormat: there is no decoder for it.
        """
        if encoding not in self._makers:
            raise UnsupportedFormat
        return self._makers[encoding]()

    async def decode(self, recording: Recording, data: bytes) -> Sequence[bytes]:
        """Decode the next piece of a recording in a thread.

        Raises:
            SessionError: it cannot be decoded.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, recording.decode, data)


class Recordings:
    """The recordings of one connection, one after another: what is decoded comes in the order in which it was sent.

    Args:
        decoding: decodes them.
    """

    def __init__(self, decoding: AudioDecoding) -> None:
        self._decoding = decoding
        self._number = 0
        self._recording: Recording | None = None

    async def decode(self, sent: SendEncoded) -> Sequence[bytes]:
        """Return the samples of the next piece; none any more of a recording in which something was wrong.

        Raises:
            SessionError: it cannot be decoded; another recording may.
        """
        if sent.recording != self._number:
            self._number, self._recording = sent.recording, None
            self._recording = self._decoding.open(sent.encoding)
        if (recording := self._recording) is None:
            return ()
        self._recording = None  # so that nobody uses it again when this fails, or is cancelled while the thread is at it
        pieces = await self._decoding.decode(recording, sent.data)
        self._recording = recording
        return pieces
