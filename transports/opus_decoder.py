"""One recording of a browser as samples, by PyAV: the only module that imports it, and imported only where it is installed."""

from collections.abc import Iterator, Sequence
from typing import Final

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler

from session.errors import InvalidAudio, TooLarge
from transports.webm import WebmError, WebmReader

HERTZ: Final = 16_000
MESSAGE_SECONDS: Final = 30
"""Audio that one message can hold. Two bytes can claim to be 120 ms (RFC 6716 section 3.2.5), so what comes out is counted."""
PIECE_BYTES: Final = 2 * 2 * HERTZ
"""Two seconds: what a session takes in one piece."""
BAD_PACKETS_LIMIT: Final = 50
"""Packets that are passed over because they cannot be decoded: a second of a recording."""
_HEAD: Final = b"OpusHead"
_HEAD_BYTES: Final = 19
_CHANNELS: Final = (1, 2)
_CHANNELS_AT: Final = 9
_FAMILY_AT: Final = 18


class OpusRecording:
    """One recording, from its head to its end. What it holds is freed with it."""

    def __init__(self) -> None:
        self._reader = WebmReader()
        self._head = b""
        self._codec: AudioCodecContext | None = None
        self._resampler = _resampler()
        self._bad_packets = 0

    def decode(self, data: bytes) -> Sequence[bytes]:
        """Return the samples of the next piece, in pieces of PIECE_BYTES at most. Blocks: 2 ms per second of speech (measured).

        Raises:
            InvalidAudio: it cannot be decoded; nothing of this recording can any more.
            TooLarge: it holds too much; likewise.
        """
        found = bytearray()
        self._reader.feed(data)
        try:
            for packet in self._reader.packets():
                for samples in self._decoded(packet):
                    found += samples
                if len(found) > MESSAGE_SECONDS * 2 * HERTZ:
                    raise TooLarge(f"A message can hold {MESSAGE_SECONDS} s of audio at most.")
        except WebmError as error:
            raise InvalidAudio(f"The recording cannot be read: {error}.") from None
        return [bytes(found[start : start + PIECE_BYTES]) for start in range(0, len(found), PIECE_BYTES)]

    def _decoded(self, packet: bytes) -> Iterator[bytes]:
        """Yield the samples of a packet, none of one that is damaged.

        Raises:
            WebmError: too many are.
        """
        if self._codec is None or self._reader.opus_head != self._head:
            self._head = self._reader.opus_head
            self._codec, self._resampler = _codec(self._head), _resampler()
        try:
            for frame in self._codec.decode(av.Packet(packet)):
                for converted in self._resampler.resample(frame):
                    yield bytes(converted.planes[0])[: 2 * converted.samples]
        except (av.FFmpegError, ValueError):
            self._bad_packets += 1
            if self._bad_packets > BAD_PACKETS_LIMIT:
                raise WebmError("too many packets are damaged") from None


def _codec(head: bytes) -> AudioCodecContext:
    """Return a decoder.

    Raises:
        WebmError: the configuration is none of a microphone's (RFC 7845 section 5.1).
    """
    if len(head) < _HEAD_BYTES or not head.startswith(_HEAD) or head[_CHANNELS_AT] not in _CHANNELS or head[_FAMILY_AT] != 0:
        raise WebmError("its Opus track is neither mono nor stereo")
    codec = av.CodecContext.create("opus", "r")
    codec.extradata = head[:_HEAD_BYTES]
    codec.thread_count = 1
    return codec


def _resampler() -> AudioResampler:
    return AudioResampler(format="s16", layout="mono", rate=HERTZ, threads=1)
