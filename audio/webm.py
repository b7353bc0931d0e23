"""The sound of a WebM file that grows while it is read, as browsers record it: pieces in, Opus packets out. No I/O, no decoder.

A file is a sequence of elements: id, size, content (RFC 8794). Masters only hold other elements, and those of a recording have no size
because nobody knows yet when it ends, so they are stepped into and never left: the ids alone tell what follows. What is not sound is passed
over without being kept, whatever size it claims. Elements: RFC 9559.
"""

from collections.abc import Iterator
from typing import Final

from audio.errors import Unreadable

PENDING_LIMIT_BYTES: Final = 96 * 1024
"""What is kept of an element that is not complete: an Opus packet of 120 ms has 61 KB at most (RFC 6716 section 3.4, code 3)."""
ELEMENTS_LIMIT: Final = 8_192
"""Elements of one piece: half a minute of speech has 1,500 blocks, and elements can be two bytes long."""

_EBML_HEADER: Final = 0x1A45DFA3
_SEGMENT: Final = 0x18538067
_CLUSTER: Final = 0x1F43B675
_TRACKS: Final = 0x1654AE6B
_TRACK_ENTRY: Final = 0xAE
_TRACK_NUMBER: Final = 0xD7
_CODEC_ID: Final = 0x86
_CODEC_PRIVATE: Final = 0x63A2
_BLOCK_GROUP: Final = 0xA0
_BLOCK: Final = 0xA1
_SIMPLE_BLOCK: Final = 0xA3
_MASTERS: Final = frozenset({_SEGMENT, _CLUSTER, _TRACKS, _BLOCK_GROUP})
_KEPT: Final = frozenset({_EBML_HEADER, _TRACK_ENTRY, _BLOCK, _SIMPLE_BLOCK})
_OPUS: Final = b"A_OPUS"
_LONGEST_ID: Final = 4
_LONGEST_SIZE: Final = 8
_LACING: Final = 0x06
"""Flags of a block that holds several packets; no browser writes them."""


class WebmReader:
    """Reads one recording, and the one that begins after it if the client starts another."""

    def __init__(self) -> None:
        self._left = bytearray()
        self._skipped = 0
        """Bytes that are still to be passed over."""
        self._has_begun = False
        self._track: int | None = None
        self.opus_head = b""
        """The decoder's configuration (RFC 7845 section 5.1); empty before the track is known."""

    def feed(self, data: bytes) -> None:
        """Take the next piece of the file, cut anywhere; read what it completes with `packets` before the next one."""
        passed = min(self._skipped, len(data))
        self._skipped -= passed
        self._left += data[passed:]

    def packets(self) -> Iterator[bytes]:
        """Yield the Opus packets that are complete.

        Raises:
            Unreadable: it is no such file; nothing more can be read of it.
        """
        position = elements = 0
        try:
            while (element := _element(self._left, position)) is not None:
                name, size, content = element
                elements += 1
                if elements > ELEMENTS_LIMIT:
                    raise Unreadable("a piece has too many elements")
                if not self._has_begun and name != _EBML_HEADER:
                    raise Unreadable("it does not begin like a WebM file")
                if name in _MASTERS:
                    position = content
                    continue
                if size is None:
                    raise Unreadable("an element has no size")
                if name in _KEPT:
                    if size > PENDING_LIMIT_BYTES:
                        raise Unreadable("an element is too large")
                    if content + size > len(self._left):
                        return
                    position = content + size
                    yield from self._take(name, bytes(self._left[content:position]))
                    continue
                position = min(content + size, len(self._left))
                self._skipped = content + size - position
        finally:
            del self._left[:position]

    def _take(self, name: int, content: bytes) -> Iterator[bytes]:
        if name == _EBML_HEADER:
            self._has_begun, self._track, self.opus_head = True, None, b""
        elif name == _TRACK_ENTRY:
            self._take_track(content)
        elif self._track is None:
            raise Unreadable("sound comes before its track is described")
        else:
            number, at = _number(content, 0, _LONGEST_SIZE)
            if len(content) < at + 3:
                raise Unreadable("a block is too short")
            if content[at + 2] & _LACING:
                raise Unreadable("several packets share a block")
            if number == self._track and len(content) > at + 3:
                yield content[at + 3 :]

    def _take_track(self, entry: bytes) -> None:
        """Take the first track with Opus; others are left aside."""
        number, codec, private = 0, b"", b""
        position = 0
        while position < len(entry):
            element = _element(entry, position)
            if element is None or element[1] is None:
                raise Unreadable("a track's description is cut off")
            name, size, content = element
            position = content + (size or 0)
            value = entry[content:position]
            if name == _TRACK_NUMBER:
                number = int.from_bytes(value)
            elif name == _CODEC_ID:
                codec = value.rstrip(b"\0")
            elif name == _CODEC_PRIVATE:
                private = value
        if codec == _OPUS and self._track is None:
            self._track, self.opus_head = number, private


def _element(data: bytes | bytearray, position: int) -> tuple[int, int | None, int] | None:
    """Return the id of an element, its size (None for unknown) and where its content begins; None when its head is not complete.

    Raises:
        Unreadable: there is no element.
    """
    if position >= len(data):
        return None
    length = 9 - data[position].bit_length()
    if length > _LONGEST_ID:
        raise Unreadable("an element has no id")
    at = position + length
    if at >= len(data):
        return None
    size_length = 9 - data[at].bit_length()
    if size_length > _LONGEST_SIZE:
        raise Unreadable("an element's size is too long")
    content = at + size_length
    if content > len(data):
        return None
    ones = (1 << 7 * size_length) - 1
    size = int.from_bytes(data[at:content]) & ones
    return int.from_bytes(data[position:at]), None if size == ones else size, content


def _number(data: bytes, position: int, longest: int) -> tuple[int, int]:
    """Return a number of variable length and where it ends.

    Raises:
        Unreadable: there is none.
    """
    length = 9 - data[position].bit_length() if position < len(data) else longest + 1
    if length > longest or position + length > len(data):
        raise Unreadable("a number is cut off")
    return int.from_bytes(data[position : position + length]) & ((1 << 7 * length) - 1), position + length
