"""Compressed recordings as samples, and samples compressed, by PyAV, which it and observers/recording_av.py alone import.

Imported only where PyAV is installed. FFmpeg gets packets of sound alone: what holds them is read here (webm, ogg) or is nothing but
packets (MP3), so that none of its many readers of containers sees what a stranger sent.
"""

import io
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.stream import Stream

from audio.errors import AudioError, Unreadable
from audio.formats import Format, begins_like_mp3
from audio.recordings import HERTZ, check_seconds, pieces_of
from audio.wav import FLOAT, PCM, check_samples
from audio.webm import WebmReader

BAD_PACKETS_LIMIT: Final = 50
"""Packets that are passed over because they cannot be decoded: a second of a recording."""
_HEAD: Final = b"OpusHead"
_HEAD_BYTES: Final = 19
_CHANNELS: Final = (1, 2)
_CHANNELS_AT: Final = 9
_FAMILY_AT: Final = 18
_PLAIN: Final = {
    (PCM, 8): "pcm_u8",
    (PCM, 16): "pcm_s16le",
    (PCM, 24): "pcm_s24le",
    (PCM, 32): "pcm_s32le",
    (FLOAT, 32): "pcm_f32le",
}
_ID3: Final = b"ID3"
_ID3_BYTES: Final = 10
_ID3_FOOTER: Final = 0x10


type _Packet = av.Packet[Stream]


class OpusReader(Protocol):
    """Takes the packets out of a file."""

    @property
    def opus_head(self) -> bytes:
        """The decoder's configuration; empty before it is known."""

    def feed(self, data: bytes) -> None:
        """Take the next piece of the file."""

    def packets(self) -> Iterator[bytes]:
        """Yield the packets that are complete.

        Raises:
            AudioError: it is no such file.
        """


class _Decoder:
    """One decoder, and what makes 16 kHz mono of what comes out of it. What it holds is freed with it."""

    def __init__(self, codec: AudioCodecContext) -> None:
        self._codec = codec
        self._codec.thread_count = 1
        self._resampler = AudioResampler(format="s16", layout="mono", rate=HERTZ, threads=1)

    def parse(self, data: bytes | None) -> list[_Packet]:
        """Return the packets of a stream that consists of nothing else; None says that it is over."""
        return self._codec.parse(data or b"")

    def decode(self, packet: _Packet | None) -> Iterator[bytes]:
        """Yield the samples of a packet; None says that no more come.

        Raises:
            FFmpegError: it is damaged.
            ValueError: likewise.
        """
        for frame in self._codec.decode(packet):
            yield from self._resampled(frame)
        if packet is None:
            yield from self._resampled(None)

    def _resampled(self, frame: AudioFrame | None) -> Iterator[bytes]:
        for converted in self._resampler.resample(frame):
            yield bytes(converted.planes[0])[: 2 * converted.samples]


class _Patience:
    """Passes over what is damaged, until it is too much."""

    def __init__(self) -> None:
        self._bad_packets = 0

    def samples(self, decoder: _Decoder, packet: _Packet | None) -> bytes:
        """Return the samples of a packet, none of one that is damaged.

        Raises:
            Unreadable: too many are.
        """
        try:
            return b"".join(decoder.decode(packet))
        except (av.FFmpegError, ValueError):
            self._bad_packets += 1
            if self._bad_packets > BAD_PACKETS_LIMIT:
                raise Unreadable("too many packets are damaged") from None
            return b""


class OpusRecording:
    """One recording with Opus, from its head to its end.

    Args:
        reader: of the file; of WebM where nothing else is said.
    """

    def __init__(self, reader: OpusReader | None = None) -> None:
        self._reader = reader or WebmReader()
        self._head = b""
        self._decoder: _Decoder | None = None
        self._patience = _Patience()

    def decode(self, data: bytes) -> Sequence[bytes]:
        """Return the samples of the next piece, in pieces of PIECE_BYTES at most. Blocks: 2 ms of CPU per second of speech (measured).

        Raises:
            AudioError: it cannot be decoded, or holds too much; nothing of this recording can be any more.
        """
        found = bytearray()
        self._reader.feed(data)
        for packet in self._reader.packets():
            if self._decoder is None or self._reader.opus_head != self._head:
                self._head = self._reader.opus_head
                self._decoder = _Decoder(_opus(self._head))
            found += self._patience.samples(self._decoder, av.Packet(packet))
            check_seconds(found)
        return pieces_of(found)

    def finish(self) -> Sequence[bytes]:
        """Return what the decoder still holds."""
        return () if self._decoder is None else pieces_of(self._patience.samples(self._decoder, None))


class Mp3Recording:
    """One MP3 file, from its head to its end."""

    def __init__(self) -> None:
        self._decoder = _Decoder(_audio("mp3"))
        self._patience = _Patience()
        self._head: bytearray | None = bytearray()
        """What came before it was known whether tags come first; None since then."""
        self._skipped = 0
        """Bytes of tags that are still to be passed over."""

    def decode(self, data: bytes) -> Sequence[bytes]:
        """Return the samples of the next piece, in pieces of PIECE_BYTES at most. Blocks: 1.6 ms of CPU per second of it.

        Raises:
            AudioError: it cannot be decoded, or holds too much; nothing of this recording can be any more.
        """
        found = bytearray()
        if sound := self._without_tags(data):
            for packet in self._decoder.parse(sound):
                found += self._patience.samples(self._decoder, packet)
                check_seconds(found)
        return pieces_of(found)

    def finish(self) -> Sequence[bytes]:
        """Return what the decoder still holds."""
        found = b"".join(self._patience.samples(self._decoder, packet) for packet in self._decoder.parse(None))
        return pieces_of(found + self._patience.samples(self._decoder, None))

    def _without_tags(self, data: bytes) -> bytes:
        if self._head is not None:
            self._head += data
            if len(self._head) < _ID3_BYTES:
                return b""
            data, self._head = bytes(self._head), None
            if data.startswith(_ID3):
                self._skipped = _tags_bytes(data)
            elif not begins_like_mp3(data):
                raise Unreadable("it does not begin like an MP3 file")
        passed = min(self._skipped, len(data))
        self._skipped -= passed
        return data[passed:]


class PlainSamples:
    """Bare samples of one recording, as `wav.Samples` reads them and thirty times as fast.

    Args:
        hertz: their rate.
        channels: 1 or 2.
        kind: 1 for whole numbers, 3 for floating point.
        bits: of one sample.

    Raises:
        NotDecoded: nobody writes speech like that.
    """

    def __init__(self, hertz: int, channels: int = 1, kind: int = PCM, bits: int = 16) -> None:
        check_samples(hertz, channels, kind, bits)
        codec = _audio(_PLAIN[kind, bits])
        codec.sample_rate, codec.layout = hertz, ("mono", "stereo")[channels - 1]
        self._decoder = _Decoder(codec)
        self._frame_bytes = bits // 8 * channels
        self._left = b""
        self._patience = _Patience()

    def decode(self, data: bytes) -> Sequence[bytes]:
        """Return the samples of the next piece as 16 kHz mono.

        Raises:
            TooLong: there are too many.
        """
        data = self._left + data
        whole = len(data) - len(data) % self._frame_bytes
        self._left = data[whole:]
        found = self._patience.samples(self._decoder, av.Packet(data[:whole])) if whole else b""
        check_seconds(found)
        return pieces_of(found)

    def finish(self) -> Sequence[bytes]:
        """Return what the resampler still holds; half a sample is let go."""
        return pieces_of(self._patience.samples(self._decoder, None))


def _tags_bytes(head: bytes) -> int:
    """Return how long an ID3 tag is: its length has seven bits in each byte (ID3v2.4 section 6.2)."""
    length = 0
    for byte in head[6:_ID3_BYTES]:
        length = length << 7 | byte & 0x7F
    return _ID3_BYTES + length + (_ID3_BYTES if head[5] & _ID3_FOOTER else 0)


def _audio(name: str) -> AudioCodecContext:
    codec = av.CodecContext.create(name, "r")
    if not isinstance(codec, AudioCodecContext):
        raise AudioError(f"{name} is no codec of sound")
    return codec


def _opus(head: bytes) -> AudioCodecContext:
    """Return a decoder.

    Raises:
        Unreadable: the configuration is none of a microphone's (RFC 7845 section 5.1).
    """
    if len(head) < _HEAD_BYTES or not head.startswith(_HEAD) or head[_CHANNELS_AT] not in _CHANNELS or head[_FAMILY_AT] != 0:
        raise Unreadable("its Opus track is neither mono nor stereo")
    codec = _audio("opus")
    codec.extradata = head[:_HEAD_BYTES]
    return codec


_WRITTEN: Final = {
    Format.OGG: ("ogg", "libopus", 32_000),
    Format.WEBM: ("webm", "libopus", 32_000),
    Format.MP3: ("mp3", "libmp3lame", 64_000),
}
"""Container, encoder and bits per second: speech of one voice."""


def compressed(pcm: bytes, hertz: int, written: Format) -> bytes:
    """Return samples as a file. Blocks: per second of speech 6.5 ms of CPU for Opus, 3 ms for MP3 (measured).

    Args:
        pcm: signed 16-bit little-endian mono.
        hertz: their rate: 8,000, 16,000 or 24,000.
        written: WebM, Ogg or MP3.
    """
    container, encoder, bits_per_second = _WRITTEN[written]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as opened:
        stream = opened.add_stream(encoder, rate=hertz, layout="mono", bit_rate=bits_per_second)
        if not isinstance(stream, AudioStream):
            raise AudioError(f"{encoder} is no encoder of sound")
        resampler = AudioResampler(format=stream.format, layout="mono", rate=hertz, frame_size=stream.codec_context.frame_size or None)
        frames = [*resampler.resample(_frame(pcm, hertz)), *resampler.resample(None)] if pcm else []
        for frame in (*frames, None):
            for packet in stream.encode(frame):
                opened.mux(packet)
    return file.getvalue()


def _frame(pcm: bytes, hertz: int) -> AudioFrame:
    frame = AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2, align=1)
    frame.planes[0].update(pcm)
    frame.sample_rate = hertz
    return frame
