"""Data on its way out: the peer's windows, what waits for them, and whose turn it is (RFC 9113 5.2)."""

from collections import OrderedDict

from s2s.bedrock.http2 import frames
from s2s.bedrock.http2.frames import MAX_FRAME_BYTES, MAX_WINDOW, ErrorCode, PeerViolation
from s2s.bedrock.http2.settings import DEFAULT_WINDOW
from s2s.bedrock.http2.streams import Ending, Input, Stream


class Outflow:
    """Sends the data of all streams of a connection as far as the windows go, one frame of each in turn.

    Args:
        outgoing: where frames go.
    """

    __slots__ = ("_outgoing", "_waiting", "_window", "is_held")

    def __init__(self, outgoing: list[bytes]) -> None:
        self.is_held = False
        """Whether data has to wait because the socket takes none."""
        self._outgoing = outgoing
        self._window = DEFAULT_WINDOW
        self._waiting: OrderedDict[int, Stream] = OrderedDict()
        """Streams with something to send that their own window has room for, in turn."""

    def send(self, stream: Stream, data: bytes) -> None:
        """Send data now, as far as the windows go, and the rest when they open. The stream must not be over."""
        size = len(data)
        if 0 < size <= stream.window and size <= self._window and size <= MAX_FRAME_BYTES and not stream.pending and not self.is_held:
            stream.window -= size
            self._window -= size
            self._outgoing.append(frames.data_header(stream.number, size))
            self._outgoing.append(data)
        elif size:
            stream.pending += data
            self._enqueue(stream)
            self.pump()

    def end(self, stream: Stream) -> None:
        """End the request behind all that was written; nothing happens when it has ended or the stream is over."""
        if stream.input is not Input.OPEN or stream.ending is not Ending.NOT_YET:
            return
        stream.input = Input.ENDING
        if not stream.pending:
            stream.input = Input.ENDED
            self._outgoing.append(frames.frame(frames.DATA, frames.END_STREAM, stream.number))

    def widen(self, stream: Stream, increment: int) -> None:
        """Let a stream send more, or less when the increment is below zero; `pump` sends it.

        Raises:
            PeerViolation: its window grows beyond all bounds.
        """
        if stream.window + increment > MAX_WINDOW:
            raise PeerViolation(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window beyond all bounds")
        stream.window += increment
        self._enqueue(stream)

    def widen_all(self, increment: int) -> None:
        """Let the connection send more; `pump` sends it.

        Raises:
            PeerViolation: its window grows by nothing or beyond all bounds.
        """
        if increment == 0:
            raise PeerViolation(ErrorCode.PROTOCOL_ERROR, "a window that grows by nothing")
        self._window += increment
        if self._window > MAX_WINDOW:
            raise PeerViolation(ErrorCode.FLOW_CONTROL_ERROR, "a connection's window beyond all bounds")

    def pump(self) -> None:
        """Send what the windows have room for."""
        while self._waiting and self._window > 0 and not self.is_held:
            _, stream = self._waiting.popitem(last=False)
            size = min(len(stream.pending), stream.window, self._window, MAX_FRAME_BYTES)
            if size <= 0:  # its window was taken back while it waited
                continue
            stream.window -= size
            self._window -= size
            data = bytes(stream.pending[:size])
            del stream.pending[:size]
            flags = 0
            if stream.input is Input.ENDING and not stream.pending:
                flags, stream.input = frames.END_STREAM, Input.ENDED
            self._outgoing += (frames.frame_header(frames.DATA, flags, stream.number, size), data)
            self._enqueue(stream)
            if stream.listener is not None:
                stream.listener.writable()

    def forget(self, stream: Stream) -> None:
        """Send nothing more of a stream."""
        self._waiting.pop(stream.number, None)

    def clear(self) -> None:
        """Send nothing more."""
        self._waiting.clear()

    def _enqueue(self, stream: Stream) -> None:
        if stream.pending and stream.window > 0:
            self._waiting[stream.number] = stream
