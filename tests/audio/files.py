"""Recordings in every format that is read, written by PyAV's encoders or by hand; nothing of them is kept in the repository."""

import io
import struct

import av
import numpy as np
from numpy.typing import NDArray

from tests.audio.recorder import HERTZ, record, tone

SECONDS = 2.0
PITCH = 440.0


def encoded(samples: NDArray[np.int16], container: str, codec: str, hertz: int, layout: str = "mono") -> bytes:
    """Return samples of one channel as a file; other channels say the same."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as written:
        stream = written.add_stream(codec, rate=hertz, layout=layout)
        assert isinstance(stream, av.AudioStream)
        channels = {"mono": 1, "stereo": 2}[layout]
        frame = av.AudioFrame.from_ndarray(np.repeat(samples, channels).reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = hertz
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=hertz, frame_size=stream.codec_context.frame_size or None)
        for each in [*resampler.resample(frame), *resampler.resample(None), None]:
            for packet in stream.encode(each):
                written.mux(packet)
    return file.getvalue()


def at(hertz: int) -> NDArray[np.int16]:
    """Return the tone of all recordings at a rate."""
    return (np.sin(np.arange(round(hertz * SECONDS)) * 2 * np.pi * PITCH / hertz) * 8_000).astype(np.int16)


def chunk(name: bytes, content: bytes, length: int | None = None) -> bytes:
    """Return a chunk of a WAV file; a length of one's own may lie."""
    return name + struct.pack("<I", len(content) if length is None else length) + content + b"\0" * (len(content) % 2)


def described(kind: int = 1, channels: int = 1, hertz: int = 16_000, bits: int = 16, more: bytes = b"") -> bytes:
    """Return the chunk that says how the sound of a WAV file is written."""
    frame = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", kind, channels, hertz, hertz * frame & 0xFFFF_FFFF, frame & 0xFFFF, bits) + more)


def wav(*chunks: bytes) -> bytes:
    """Return a WAV file by hand."""
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def with_tags(mp3: bytes, size: int) -> bytes:
    """Return an MP3 file with an ID3 tag of this size before it."""
    length = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\x00\x00" + length + b"\xff\xfb" * (size // 2) + b"\0" * (size % 2) + mp3


MP3 = encoded(at(44_100), "mp3", "libmp3lame", 44_100)
OGG = encoded(at(48_000), "ogg", "libopus", 48_000)
VORBIS = b"OggS\0\2" + bytes(20) + b"\1\x1e" + b"\1vorbis" + bytes(23)
"""The first page of an Ogg file with other sound than Opus."""
WEBM = record(tone(SECONDS, PITCH))
PLAIN = at(16_000).tobytes()
EXTENSIBLE = struct.pack("<HHI", 22, 16, 4) + bytes.fromhex("0100000000001000800000aa00389b71")

FILES: dict[str, tuple[str, bytes]] = {
    "webm": ("audio/webm;codecs=opus", WEBM),
    "webm-stereo": ("video/webm", record(tone(SECONDS, PITCH), layout="stereo")),
    "ogg": ("audio/ogg", OGG),
    "ogg-chained": ("application/ogg", OGG),
    "ogg-stereo": ("audio/ogg; codecs=opus", encoded(at(48_000), "ogg", "libopus", 48_000, "stereo")),
    "mp3": ("audio/mpeg", MP3),
    "mp3-stereo": ("audio/mp3", encoded(at(48_000), "mp3", "libmp3lame", 48_000, "stereo")),
    "mp3-22khz": ("audio/mpeg", encoded(at(22_050), "mp3", "libmp3lame", 22_050)),
    "mp3-tagged": ("audio/mpeg", with_tags(MP3, 200_000)),
    "wav": ("audio/wav", wav(described(), chunk(b"data", PLAIN))),
    "wav-unnamed": ("", wav(described(), chunk(b"data", PLAIN))),
    "wav-growing": ("audio/x-wav", wav(described(), chunk(b"LIST", b"odd"), chunk(b"data", PLAIN, 0xFFFF_FFFF))),
    "wav-trailer": ("audio/wave", wav(described(), chunk(b"data", PLAIN), chunk(b"LIST", bytes(90_000)))),
    "wav-extensible": ("audio/vnd.wave", wav(described(0xFFFE, more=EXTENSIBLE), chunk(b"data", PLAIN))),
    "wav-8bit": ("audio/wav", wav(described(bits=8), chunk(b"data", (at(16_000) // 256 + 128).astype(np.uint8).tobytes()))),
    "wav-24bit": ("audio/wav", encoded(at(44_100), "wav", "pcm_s24le", 44_100)),
    "wav-32bit": ("audio/wav", encoded(at(48_000), "wav", "pcm_s32le", 48_000, "stereo")),
    "wav-float": ("audio/wav", wav(described(3, bits=32), chunk(b"data", (at(16_000) / 32_768).astype("<f4").tobytes()))),
    "wav-8khz": ("audio/wav", wav(described(hertz=8_000), chunk(b"data", at(8_000).tobytes()))),
    "wav-44khz": ("audio/wav", wav(described(hertz=44_100, channels=2), chunk(b"data", np.repeat(at(44_100), 2).tobytes()))),
    "pcm": ("audio/pcm", PLAIN),
    "pcm-24khz": ("audio/L16; rate=24000", at(24_000).tobytes()),
}
"""Media type and file, by name: each the same tone."""

assert HERTZ == 48_000
