"""SETTINGS (RFC 9113 6.5.2): what we tell the peer, and what the peer tells us."""

from enum import IntEnum
from typing import Final

from s2s.bedrock.http2.frames import MAX_FRAME_BYTES, MAX_WINDOW, ErrorCode, PeerViolation
from s2s.bedrock.interfaces import RECEIVE_WINDOW_BYTES


class Setting(IntEnum):
    """Identifiers."""

    HEADER_TABLE_SIZE = 0x1
    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_HEADER_LIST_SIZE = 0x6


DEFAULT_WINDOW: Final = 65_535
"""Of streams and connections before anybody says otherwise."""
TABLE_BYTES: Final = 4096
"""Of HPACK's dynamic tables, ours and at most the peer's: the default."""
MAX_HEAD_BYTES: Final = 64 * 1024
"""Largest header block that is read, compressed or not: many times what AWS sends."""
CONNECTION_WINDOW_BYTES: Final = 4 * 1024 * 1024
"""Receive window of a connection. It is given back as data comes in, so that it holds nobody up: what may wait unread is each stream's."""

OURS: Final[dict[int, int]] = {
    Setting.HEADER_TABLE_SIZE: TABLE_BYTES,
    Setting.ENABLE_PUSH: 0,
    Setting.INITIAL_WINDOW_SIZE: RECEIVE_WINDOW_BYTES,
    Setting.MAX_HEADER_LIST_SIZE: MAX_HEAD_BYTES,
}

_LARGEST_FRAME_SIZE: Final = 2**24 - 1


class PeerSettings:
    """What the peer has asked for, at first the defaults."""

    __slots__ = ("header_table_size", "initial_window", "max_streams")

    def __init__(self) -> None:
        self.header_table_size = TABLE_BYTES
        self.initial_window = DEFAULT_WINDOW
        self.max_streams = MAX_WINDOW
        """No limit."""

    def change(self, identifier: int, value: int) -> None:
        """Take a setting; unknown ones mean nothing.

        Raises:
            PeerViolation: the value is not allowed.
        """
        match identifier:
            case Setting.HEADER_TABLE_SIZE:
                self.header_table_size = min(value, TABLE_BYTES)
            case Setting.ENABLE_PUSH if value != 0:
                raise PeerViolation(ErrorCode.PROTOCOL_ERROR, "a server that wants pushes")
            case Setting.MAX_CONCURRENT_STREAMS:
                self.max_streams = value
            case Setting.INITIAL_WINDOW_SIZE:
                if value > MAX_WINDOW:
                    raise PeerViolation(ErrorCode.FLOW_CONTROL_ERROR, f"an initial window of {value} bytes")
                self.initial_window = value
            case Setting.MAX_FRAME_SIZE if not MAX_FRAME_BYTES <= value <= _LARGEST_FRAME_SIZE:  # ours fit the smallest limit
                raise PeerViolation(ErrorCode.PROTOCOL_ERROR, f"a largest frame of {value} bytes")
            case _:
                pass
