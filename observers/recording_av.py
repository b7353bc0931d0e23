"""Recordings by PyAV: Opus in WebM or Ogg, and FLAC. Imported only where it is installed.

FFmpeg writes a container's beginning anew when all is known: WebM's duration and index, FLAC's number of samples. What it wants to change
is kept apart, and given at the end.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import partial
from typing import Final, cast

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream

from observers.recording_encoders import FRAME_BYTES, Studio
from storage.recordings import RecordingFormat

OPUS_BITS: Final = 48_000
"""A second, for both voices: speech at 24 kbit/s is hard to tell from what went in."""
HEAD_BYTES: Final = 4_096
"""As far as beginnings are written anew: WebM's takes less than 1 KB."""
_OPUS: Final = {"application": "audio", "compression_level": "3"}
"""Of 0 to 10: 10 costs half as much again, and nobody hears it."""
_CODECS: Final = {RecordingFormat.WEBM: "libopus", RecordingFormat.OGG: "libopus", RecordingFormat.FLAC: "flac"}
_CONTAINER: Final[Mapping[RecordingFormat, Mapping[str, str]]] = {
    RecordingFormat.WEBM: {"flush_packets": "1", "cluster_time_limit": "1000"},
    RecordingFormat.OGG: {"flush_packets": "1"},
    RecordingFormat.FLAC: {"flush_packets": "1"},
}
"""What is encoded leaves the container at the latest after a second."""


class _GrowingFile:
    """What FFmpeg takes for a file; only its first bytes can be changed."""

    def __init__(self) -> None:
        self.head = bytearray()
        self._new = bytearray()
        self._size = 0
        self._position = 0

    def write(self, data: bytes) -> int:
        """Append, or change the beginning."""
        data = bytes(data)
        if self._position < len(self.head):
            kept = data[: max(0, len(self.head) - self._position)]
            self.head[self._position : self._position + len(kept)] = kept
        if self._position == self._size:
            self.head += data[: max(0, HEAD_BYTES - len(self.head))]
            self._new += data
            self._size += len(data)
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go somewhere."""
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def tell(self) -> int:
        """Return where it is."""
        return self._position

    def take(self) -> bytes:
        """Return what was appended since."""
        taken = bytes(self._new)
        self._new.clear()
        return taken


class AvEncoder:
    """One file.

    Args:
        kind: its format.
        hertz: samples a second.
    """

    def __init__(self, kind: RecordingFormat, hertz: int) -> None:
        self._file = _GrowingFile()
        self._container = av.open(self._file, "w", format=kind.value, options=dict(_CONTAINER[kind]))
        codec, self._hertz = _CODECS[kind], hertz
        options = _OPUS if codec == "libopus" else {}
        self._stream = cast("AudioStream", self._container.add_stream(codec, rate=hertz, layout="stereo", options=dict(options)))
        if codec == "libopus":
            self._stream.bit_rate = OPUS_BITS
        self._stream.codec_context.thread_count = 1
        self._samples = 0

    def encode(self, stereo: bytes) -> bytes:
        """Return what the file grows by."""
        if stereo:
            self._container.mux(self._stream.encode(self._frame(stereo)))
        return self._file.take()

    def finish(self) -> tuple[bytes, bytes]:
        """Return the end of the file, and its beginning as it has to be."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._file.take(), bytes(self._file.head)

    def _frame(self, stereo: bytes) -> AudioFrame:
        samples = len(stereo) // FRAME_BYTES
        frame = AudioFrame(format="s16", layout="stereo", samples=samples)
        frame.planes[0].update(stereo)
        frame.sample_rate, frame.pts, frame.time_base = self._hertz, self._samples, Fraction(1, self._hertz)
        self._samples += samples
        return frame


class AvRiser:
    """Makes more samples a second of sound, with a filter that leaves no images.

    Args:
        hertz: of what goes in.
        wanted: of what comes out.
    """

    def __init__(self, hertz: int, wanted: int) -> None:
        self._hertz = hertz
        self._resampler = AudioResampler(format="s16", layout="mono", rate=wanted)

    def rise(self, pcm: bytes) -> bytes:
        """Return what is known of the sound at its new rate."""
        frame = AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.planes[0].update(pcm)
        frame.sample_rate = self._hertz
        return _samples(self._resampler.resample(frame))

    def finish(self) -> bytes:
        """Return the rest."""
        return _samples(self._resampler.resample(None))


def _samples(frames: Iterable[AudioFrame]) -> bytes:
    return b"".join(bytes(frame.planes[0])[: frame.samples * 2] for frame in frames)


def av_studio(kind: RecordingFormat) -> Studio:
    """Return what makes recordings of a format."""
    return Studio(kind, partial(AvEncoder, kind), AvRiser)
