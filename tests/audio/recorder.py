"""Recordings as browsers make them: WebM with Opus, written while it is recorded, so that nothing in it has a length."""

import io
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

HERTZ = 48_000
SILENT_120_MS = b"\xfb\x06"
"""Two bytes of Opus that claim six frames of 20 ms (RFC 6716 section 3.2.5)."""


class _Pipe(io.RawIOBase):
    """Takes what is written and cannot go back."""

    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(cast("bytes", data))
        self.written += piece
        return len(piece)


def tone(seconds: float, hertz: float = 440.0) -> NDArray[np.int16]:
    """Return a tone at 48 kHz."""
    return (np.sin(np.arange(round(HERTZ * seconds)) * 2 * np.pi * hertz / HERTZ) * 8_000).astype(np.int16)


def pitch(pcm: NDArray[np.int16], hertz: int = 16_000) -> float:
    """Return the frequency that is heard most in a second of the middle."""
    middle = pcm[hertz // 2 : hertz // 2 + hertz].astype(np.float64)
    return float(np.abs(np.fft.rfft(middle)).argmax())


def record(samples: NDArray[np.int16], *, layout: str = "mono", is_live: bool = True) -> bytes:
    """Return a recording of samples at 48 kHz.

    Args:
        samples: of one channel; others say the same.
        layout: mono or stereo.
        is_live: whether clusters are written without their length, as by Chromium.
    """
    pipe = _Pipe()
    with av.open(pipe, "w", format="webm", options={"live": str(int(is_live)), "cluster_time_limit": "500"}) as file:
        stream = file.add_stream("libopus", rate=HERTZ, layout=layout)
        channels = {"mono": 1, "stereo": 2}[layout]
        frame = av.AudioFrame.from_ndarray(np.repeat(samples, channels).reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = HERTZ
        for each in (frame, None):
            for packet in stream.encode(each):
                file.mux(packet)
    return bytes(pipe.written)


def element(name: str, content: bytes = b"", size: bytes | None = None) -> bytes:
    """Return an element of a WebM file; a size of one's own may lie."""
    return bytes.fromhex(name) + (size or (0x1000_0000 | len(content)).to_bytes(4)) + content


UNKNOWN_SIZE = b"\x01" + b"\xff" * 7
EBML_HEADER = element("1a45dfa3", element("4282", b"webm"))
OPUS_HEAD = b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0"


def track(head: bytes = OPUS_HEAD, codec: bytes = b"A_OPUS", number: int = 1) -> bytes:
    """Return the description of a track."""
    return element("ae", element("d7", bytes([number])) + element("86", codec) + element("63a2", head))


def beginning(*tracks: bytes) -> bytes:
    """Return the head of a file by hand."""
    described = element("1654ae6b", b"".join(tracks or (track(),)))
    return EBML_HEADER + element("18538067", size=UNKNOWN_SIZE) + described + element("1f43b675", size=UNKNOWN_SIZE)


def block(packet: bytes, number: int = 1, flags: int = 0x80, name: str = "a3") -> bytes:
    """Return a block with one packet."""
    return element(name, bytes([0x80 | number, 0, 0, flags]) + packet)
