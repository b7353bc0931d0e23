"""An HTTP/2 connection of a client (RFC 9113) without input and output: bytes in, bytes out, and streams that change.

What the peer does wrong is answered as the RFC says: a fault of one stream ends that stream (RST_STREAM), a fault of the connection ends
all of them (GOAWAY). Whoever feeds the connection never sees an exception; it sends `data_to_send` after each call and closes the socket
when `phase` is CLOSED.

Windows: a stream's is given back as its reader takes the data, which holds back a peer that sends to a slow reader. The connection's is
given back as data comes in, so that a stream nobody reads does not hold up the others; what may wait unread is bounded by the streams'.
"""

from enum import Enum
from typing import Final

from s2s.bedrock.http2 import frames
from s2s.bedrock.http2.frames import MAX_STREAM_ID, MAX_WINDOW, ErrorCode, FrameSplitter, PeerViolation, code_name
from s2s.bedrock.http2.heads import HeadCodec, Malformed, request_fields
from s2s.bedrock.http2.outflow import Outflow
from s2s.bedrock.http2.patience import Patience
from s2s.bedrock.http2.settings import CONNECTION_WINDOW_BYTES, DEFAULT_WINDOW, MAX_HEAD_BYTES, OURS, PeerSettings
from s2s.bedrock.http2.streams import Ending, Input, Stream
from s2s.bedrock.interfaces import RECEIVE_WINDOW_BYTES, Headers

GIVE_BACK_BYTES: Final = RECEIVE_WINDOW_BYTES // 4
"""A stream's window is given back in pieces of this size: one WINDOW_UPDATE for some forty pieces of speech."""
MAX_FRAGMENTS: Final = 32
"""CONTINUATION frames of one header block; 64 KB need four (CVE-2024-27316)."""
DEBUG_BYTES: Final = 120
"""How much of a peer's words in GOAWAY is kept."""


class Phase(Enum):
    """Whether streams may be opened."""

    OPEN = "open"
    DRAINING = "draining"
    """After GOAWAY or the last stream id: open streams go on, no others begin."""
    CLOSED = "closed"
    """Nothing is left to be done but to send what is queued and to close the socket."""


class StreamViolation(Exception):
    """The peer broke a rule that concerns one stream (RFC 9113 5.4.2)."""

    def __init__(self, stream: Stream, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.stream = stream
        self.code = code


class Connection:
    """State of one connection.

    Args:
        scheme: http or https.
        authority: host and port for requests that do not name theirs.
        first_stream_id: odd; for tests of what happens when the ids run out.
    """

    def __init__(self, scheme: str, authority: str, *, first_stream_id: int = 1) -> None:
        self.phase = Phase.OPEN
        self.reason = ""
        """Why the connection takes no more streams."""
        self.streams: dict[int, Stream] = {}
        self.peer: PeerSettings | None = None
        """None until the peer's SETTINGS have come."""
        self.outgoing: list[bytes] = []
        """What is to be sent; see `data_to_send`."""
        self._scheme, self._authority = scheme, authority
        self._next_stream_id = first_stream_id
        self._codec = HeadCodec()
        self._splitter = FrameSplitter()
        self._patience = Patience()
        self._now = 0.0
        self._outflow = Outflow(self.outgoing)
        self._credit = CONNECTION_WINDOW_BYTES
        self._block: _Block | None = None
        self.outgoing += [frames.PREFACE, frames.settings_frame(OURS), frames.window_frame(0, CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW)]

    @property
    def is_closed(self) -> bool:
        """Whether all is over, and the socket is to be closed when `data_to_send` has been sent."""
        return self.phase is Phase.CLOSED

    @property
    def is_held(self) -> bool:
        """Whether data waits because the socket takes none: between `hold` and `release`."""
        return self._outflow.is_held

    @property
    def capacity(self) -> int:
        """How many more streams the peer takes now."""
        if self.phase is not Phase.OPEN or self.peer is None or self._next_stream_id > MAX_STREAM_ID:
            return 0
        return max(0, self.peer.max_streams - len(self.streams))

    def data_to_send(self) -> bytes:
        """Return what is to be sent, once."""
        data = b"".join(self.outgoing)
        self.outgoing.clear()
        return data

    # What this side does.

    def open(self, method: str, path: str, headers: Headers) -> Stream:
        """Begin a request. Call it only when `capacity` says that there is room."""
        if self.capacity == 0 or self.peer is None:
            raise RuntimeError("a stream on a connection without room")
        number = self._next_stream_id
        self._next_stream_id += 2
        stream = Stream(number, self.peer.initial_window, has_body=method != "HEAD")
        self.streams[number] = stream
        block = self._codec.encode(request_fields(self._scheme, self._authority, method, path, headers))
        self.outgoing.append(frames.headers_frames(number, block))
        if self._next_stream_id > MAX_STREAM_ID:
            self.phase, self.reason = Phase.DRAINING, "the connection has no more stream ids"
        return stream

    def send(self, stream: Stream, data: bytes) -> None:
        """Send data of a request now, as far as the windows go, and the rest when they open. The stream must not be over."""
        self._outflow.send(stream, data)

    def end_input(self, stream: Stream) -> None:
        """End the request behind all that was written; nothing happens when it has ended or the stream is over."""
        self._outflow.end(stream)

    def take(self, stream: Stream) -> bytes:
        """Return what has been received and not been read, and give its window back in time."""
        data = stream.unread
        if not data:
            return b""
        stream.unread = b""
        stream.taken += len(data)
        if stream.taken >= GIVE_BACK_BYTES:
            self._give_back(stream)
        return bytes(data)  # the same object when it is bytes already

    def abandon(self, stream: Stream) -> None:
        """Let go of a stream: reset it unless both sides have ended, and drop what was not read."""
        if self.streams.get(stream.number) is stream:
            self._reset(stream, ErrorCode.CANCEL, "closed by this side")
        stream.unread = b""

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.outgoing.append(frames.frame(frames.PING, 0, 0, bytes(frames.PING_BYTES)))

    def hold(self) -> None:
        """Let data wait: the socket takes no more."""
        self._outflow.is_held = True

    def release(self) -> None:
        """Let data go again."""
        self._outflow.is_held = False
        self._patience.settle()
        self._outflow.pump()

    def close(self, reason: str, code: ErrorCode = ErrorCode.NO_ERROR) -> None:
        """Say goodbye and end all streams; nothing happens when the connection is closed."""
        if self.phase is not Phase.CLOSED:
            self.outgoing.append(frames.goaway_frame(0, code))  # 0: no stream of the peer's was ever taken
            self.lose(reason)

    def lose(self, reason: str, unanswered: Ending = Ending.BROKEN) -> None:
        """Take note that nothing more comes or goes: all streams are broken, or `unanswered` when no head has come."""
        if self.phase is Phase.CLOSED:
            return
        self.reason = f"{reason}; {self.reason}" if self.reason else reason
        self.phase = Phase.CLOSED
        self._outflow.clear()
        streams, self.streams = self.streams, {}
        for stream in streams.values():
            stream.fail(unanswered, self.reason)

    # What the peer does.

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes from the peer; `now` in seconds on any clock that does not go back."""
        self._now = now
        if self.is_closed:
            return
        try:
            self._receive(data)
        except PeerViolation as violation:
            self.close(f"the peer broke HTTP/2: {violation}", violation.code)

    def _receive(self, data: bytes) -> None:
        for kind, flags, number, payload in self._splitter.feed(data):
            try:
                if kind == frames.DATA and self._block is None and self.peer is not None:  # the usual case
                    self._on_data(flags, number, payload)
                else:
                    self._on_frame(kind, flags, number, payload)
            except StreamViolation as violation:
                self._reset(violation.stream, violation.code, f"the peer broke HTTP/2: {violation}")
            if self.is_closed:
                return

    def _on_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self.peer is None and (kind != frames.SETTINGS or flags & frames.ACK):
            raise PeerViolation(ErrorCode.PROTOCOL_ERROR, "not HTTP/2: its first frame is not SETTINGS")
        if self._block is not None and (kind != frames.CONTINUATION or number != self._block.number):
            raise PeerViolation(ErrorCode.PROTOCOL_ERROR, "a frame in the middle of a header block")
        match kind:
            case frames.WINDOW_UPDATE:
                self._on_window(number, frames.read_word(payload))
            case frames.HEADERS:
                self._on_headers(flags, number, payload)
            case frames.CONTINUATION:
                self._on_continuation(flags, payload)
            case frames.RST_STREAM:
                self._on_reset(number, frames.read_word(payload))
            case frames.SETTINGS:
                self._on_settings(flags, number, payload)
            case frames.PING:
                self._on_ping(flags, number, payload)
            case frames.GOAWAY:
                self._on_goaway(number, payload)
            case frames.PUSH_PROMISE:
                raise PeerViolation(ErrorCode.PROTOCOL_ERROR, "a push, though we take none")
            case _:  # PRIORITY, and extensions that we do not know, which are to be ignored (RFC 9113 4.1)
                self._patience.spend(self._now)

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        self._credit -= size
        if self._credit <= CONNECTION_WINDOW_BYTES // 2:
            if self._credit < 0:
                raise PeerViolation(ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window")
            self.outgoing.append(frames.window_frame(0, CONNECTION_WINDOW_BYTES - self._credit))
            self._credit = CONNECTION_WINDOW_BYTES
        stream = self.streams.get(number)
        if stream is None:
            self._check_closed(number)
            if not size:
                self._patience.spend(self._now)
            return
        stream.credit -= size
        if stream.credit < 0:
            raise StreamViolation(stream, ErrorCode.FLOW_CONTROL_ERROR, "more data than the stream's window")
        if flags & frames.PADDED:
            payload = frames.strip(frames.DATA, flags, payload)
            stream.taken += size - len(payload)
            if stream.taken >= GIVE_BACK_BYTES:
                self._give_back(stream)
        self._take_in(stream, payload, is_end=bool(flags & frames.END_STREAM))

    def _take_in(self, stream: Stream, payload: bytes, *, is_end: bool) -> None:
        if stream.ending is not Ending.NOT_YET:
            raise StreamViolation(stream, ErrorCode.STREAM_CLOSED, "data after the end")
        try:
            stream.take_data(payload)
            if is_end:
                self._end(stream)
        except Malformed as error:
            raise StreamViolation(stream, ErrorCode.PROTOCOL_ERROR, str(error)) from error
        if payload:
            if stream.listener is not None:
                stream.listener.readable()
        elif not is_end:
            self._patience.spend(self._now)

    def _on_headers(self, flags: int, number: int, payload: bytes) -> None:
        if number not in self.streams:
            self._check_closed(number)
            self._patience.spend(self._now)  # and read on, for the compression context, which all header blocks share
        fragment = frames.strip(frames.HEADERS, flags, payload)
        self._block = _Block(number, fragment, is_end=bool(flags & frames.END_STREAM))
        self._finish_block(flags)

    def _on_continuation(self, flags: int, payload: bytes) -> None:
        if self._block is None:
            raise PeerViolation(ErrorCode.PROTOCOL_ERROR, "a continuation of nothing")
        self._block.grow(payload)
        self._finish_block(flags)

    def _finish_block(self, flags: int) -> None:
        block = self._block
        if block is None or not flags & frames.END_HEADERS:
            return
        self._block = None
        fields = self._codec.decode(b"".join(block.fragments))
        stream = self.streams.get(block.number)
        if stream is None:
            return
        if stream.ending is not Ending.NOT_YET:
            raise StreamViolation(stream, ErrorCode.STREAM_CLOSED, "headers after the end")
        try:
            stream.take_head(fields, is_end=block.is_end)
            if block.is_end:
                self._end(stream)
        except Malformed as error:
            raise StreamViolation(stream, ErrorCode.PROTOCOL_ERROR, str(error)) from error
        if stream.head is None:
            self._patience.spend(self._now)
        elif stream.listener is not None:
            stream.listener.readable()

    def _on_reset(self, number: int, code: int) -> None:
        stream = self.streams.get(number)
        if stream is None:
            self._check_closed(number)
            self._patience.spend(self._now)
            return
        self._forget(stream)
        if code == ErrorCode.REFUSED_STREAM:
            stream.fail(Ending.REFUSED, "the peer refused the stream")
        else:
            stream.fail(Ending.BROKEN, f"the peer reset the stream: {code_name(code)}")

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise PeerViolation(ErrorCode.PROTOCOL_ERROR, "SETTINGS of a stream")
        self._patience.spend(self._now)
        if flags & frames.ACK:
            if payload:
                raise PeerViolation(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement of settings with settings")
            return
        peer = self.peer or PeerSettings()
        before = peer.initial_window
        for identifier, value in frames.read_settings(payload):
            peer.change(identifier, value)
        self._codec.limit_table(peer.header_table_size)
        self.peer = peer
        self._answer(frames.frame(frames.SETTINGS, frames.ACK, 0))
        if peer.initial_window != before:
            for stream in self.streams.values():
                self._outflow.widen(stream, peer.initial_window - before)
            self._outflow.pump()

    def _on_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise PeerViolation(ErrorCode.PROTOCOL_ERROR, "PING of a stream")
        if len(payload) != frames.PING_BYTES:
            raise PeerViolation(ErrorCode.FRAME_SIZE_ERROR, f"PING of {len(payload)} bytes")
        self._patience.spend(self._now)
        if not flags & frames.ACK:
            self._answer(frames.frame(frames.PING, frames.ACK, 0, payload))

    def _on_goaway(self, number: int, payload: bytes) -> None:
        if number:
            raise PeerViolation(ErrorCode.PROTOCOL_ERROR, "GOAWAY of a stream")
        self._patience.spend(self._now)
        last, code, debug = frames.read_goaway(payload)
        words = "".join(letter for letter in debug[:DEBUG_BYTES].decode("utf-8", "replace") if letter.isprintable())
        self.reason = f"the peer ended the connection: GOAWAY {code_name(code)}" + (f" ({words})" if words else "")
        self.phase = Phase.DRAINING
        for stream in [stream for stream in self.streams.values() if stream.number > last]:
            self._forget(stream)
            stream.fail(Ending.REFUSED, self.reason)
        if not self.streams:
            self.phase = Phase.CLOSED

    def _on_window(self, number: int, increment: int) -> None:
        increment &= MAX_WINDOW
        if number == 0:
            self._outflow.widen_all(increment)
        else:
            stream = self.streams.get(number)
            if stream is None:
                self._check_closed(number)
                return
            if increment == 0:
                raise StreamViolation(stream, ErrorCode.PROTOCOL_ERROR, "a window that grows by nothing")
            if stream.window + increment > MAX_WINDOW:
                raise StreamViolation(stream, ErrorCode.FLOW_CONTROL_ERROR, "a stream's window beyond all bounds")
            self._outflow.widen(stream, increment)
        self._outflow.pump()

    # Inside.

    def _check_closed(self, number: int) -> None:
        """Check that a frame without a stream is for one that has ended: such frames may be on their way, and mean nothing."""
        if number % 2 == 0 or number >= self._next_stream_id:
            raise PeerViolation(ErrorCode.PROTOCOL_ERROR, f"a frame for stream {number}, which was never opened")

    def _answer(self, answer: bytes) -> None:
        self.outgoing.append(answer)
        if self._outflow.is_held:
            self._patience.owe()

    def _give_back(self, stream: Stream) -> None:
        if stream.ending is Ending.NOT_YET:
            self.outgoing.append(frames.window_frame(stream.number, stream.taken))
            stream.credit += stream.taken
        stream.taken = 0

    def _end(self, stream: Stream) -> None:
        stream.take_end()
        self._outflow.forget(stream)
        if stream.input is Input.ENDED:
            self._forget(stream)

    def _reset(self, stream: Stream, code: ErrorCode, reason: str) -> None:
        self.outgoing.append(frames.reset_frame(stream.number, code))
        self._forget(stream)
        stream.fail(Ending.BROKEN, reason)

    def _forget(self, stream: Stream) -> None:
        self._outflow.forget(stream)
        self.streams.pop(stream.number, None)
        if self.phase is Phase.DRAINING and not self.streams:
            self.phase = Phase.CLOSED


class _Block:
    """A header block that is not complete."""

    __slots__ = ("fragments", "is_end", "number", "size")

    def __init__(self, number: int, fragment: bytes, *, is_end: bool) -> None:
        self.number = number
        self.fragments = [fragment]
        self.size = len(fragment)
        self.is_end = is_end

    def grow(self, fragment: bytes) -> None:
        """Add a fragment.

        Raises:
            PeerViolation: the block is too large.
        """
        self.fragments.append(fragment)
        self.size += len(fragment)
        if self.size > MAX_HEAD_BYTES or len(self.fragments) > MAX_FRAGMENTS:
            raise PeerViolation(ErrorCode.ENHANCE_YOUR_CALM, f"more than {MAX_HEAD_BYTES} bytes or {MAX_FRAGMENTS} frames of headers")
