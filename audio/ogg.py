"""The sound of an Ogg file with Opus: pieces in, Opus packets out. No I/O, no decoder.

A file is a sequence of pages; a page holds the lengths of its segments and then the segments, and a packet goes on over segments of 255
bytes, also into the next page (RFC 3533). The first packet of a stream is the decoder's configuration, the second are tags, which can be
large and are passed over without being kept (RFC 7845). Of several streams at once the first with Opus is read.
"""

from collections.abc import Iterator
from typing import Final

from audio.errors import NotDecoded, Unreadable

PENDING_LIMIT_BYTES: Final = 96 * 1024
"""What is kept of a packet or page that is not complete: a page has 65,307 bytes at most, a packet of Opus 61 KB."""
_HEAD_BYTES: Final = 27
_SERIAL_AT: Final = 14
_SEGMENTS_AT: Final = 26
_CONTINUED: Final = 0x01
_FIRST: Final = 0x02
_LONGEST_SEGMENT: Final = 255
_OPUS: Final = b"OpusHead"


class OggReader:
    """Reads one file, and what is chained to it."""

    def __init__(self) -> None:
        self._left = bytearray()
        self._serial: bytes | None = None
        self._number = 0
        """Of the packet that is being read, from 0."""
        self._packet = bytearray()
        self.opus_head = b""
        """The decoder's configuration (RFC 7845 section 5.1); empty before it is known."""

    def feed(self, data: bytes) -> None:
        """Take the next piece of the file, cut anywhere; read what it completes with `packets` before the next one."""
        self._left += data

    def packets(self) -> Iterator[bytes]:
        """Yield the Opus packets that are complete.

        Raises:
            Unreadable: it is no such file; nothing more can be read of it.
            NotDecoded: it holds something else than Opus.
        """
        position = 0
        try:
            while (lengths := self._lengths(position)) is not None:
                start = position + _HEAD_BYTES + len(lengths)
                end = start + sum(lengths)
                if end > len(self._left):
                    return
                head, content = bytes(self._left[position : position + _HEAD_BYTES]), bytes(self._left[start:end])
                position = end
                yield from self._page(head, lengths, content)
        finally:
            del self._left[:position]

    def _lengths(self, position: int) -> bytes | None:
        """Return the lengths of a page's segments; None when they are not there yet.

        Raises:
            Unreadable: there is no page.
        """
        head = self._left[position : position + _HEAD_BYTES]
        if not b"OggS\0".startswith(head[:5]):
            raise Unreadable("it does not go on like an Ogg file")
        if len(head) < _HEAD_BYTES:
            return None
        lengths = bytes(self._left[position + _HEAD_BYTES : position + _HEAD_BYTES + head[_SEGMENTS_AT]])
        return lengths if len(lengths) == head[_SEGMENTS_AT] else None

    def _page(self, head: bytes, lengths: bytes, content: bytes) -> Iterator[bytes]:
        flags, serial = head[5], head[_SERIAL_AT : _SERIAL_AT + 4]
        if flags & _FIRST:
            if not content.startswith(_OPUS):
                if self._serial is None:
                    raise NotDecoded("The sound of an Ogg file must be Opus.")
                return  # another stream beside the one that is read
            self._serial, self._number = serial, 0
            self._packet.clear()
        elif self._serial is None:
            raise Unreadable("it does not begin like an Ogg file")
        if serial != self._serial:
            return
        if not flags & _CONTINUED:
            self._packet.clear()
        position = 0
        for length in lengths:
            self._add(content[position : position + length])
            position += length
            if length < _LONGEST_SEGMENT:
                yield from self._complete()

    def _add(self, segment: bytes) -> None:
        if self._number == 1:
            return  # tags
        self._packet += segment
        if len(self._packet) > PENDING_LIMIT_BYTES:
            raise Unreadable("a packet is too large")

    def _complete(self) -> Iterator[bytes]:
        packet, number = bytes(self._packet), self._number
        self._packet.clear()
        self._number += 1
        if number == 0:
            self.opus_head = packet
        elif number > 1 and packet:
            yield packet
