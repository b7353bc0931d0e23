"""The `h2` library's connection, where this server wants it otherwise.

- A GOAWAY from the client is only reported. Node's SDK sends one at once and keeps its stream; RFC 9113 6.8 allows that, and `h2` would
  refuse all further data.
- A stream over the limit is refused by itself (RFC 9113 5.1.2); `h2` would end the connection, and with it every other stream.
- A header block that cannot be decoded ends the connection with COMPRESSION_ERROR (RFC 9113 4.3), and the first frame must be SETTINGS
  (RFC 9113 3.4).
- The heads of requests are checked by `heads.py`, so that a malformed one costs its stream alone (RFC 9113 8.1.1).
"""

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event
from h2.exceptions import ProtocolError, TooManyStreamsError
from h2.stream import StreamClosedBy
from hpack.exceptions import HPACKError
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame


class CompressionError(ProtocolError):
    """A header block that cannot be decoded."""

    error_code = ErrorCodes.COMPRESSION_ERROR


class ServerConnection(H2Connection):
    """The server's side of a connection."""

    def __init__(self) -> None:
        super().__init__(H2Configuration(client_side=False, header_encoding=None, validate_inbound_headers=False))
        self._is_greeted = False

    def _receive_frame(self, frame: Frame) -> list[Event]:
        if not self._is_greeted and not isinstance(frame, SettingsFrame):
            raise ProtocolError("the first frame is not SETTINGS")
        self._is_greeted = True
        try:
            return super()._receive_frame(frame)
        except ProtocolError as error:
            if isinstance(error.__cause__, HPACKError):
                raise CompressionError(str(error)) from error
            raise

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        event = ConnectionTerminated()
        event.error_code = ErrorCodes(frame.error_code) if frame.error_code in ErrorCodes else ErrorCodes.NO_ERROR
        event.last_stream_id = frame.last_stream_id
        return [], [event]

    def _receive_headers_frame(self, frame: HeadersFrame) -> tuple[list[Frame], list[Event]]:
        try:
            return super()._receive_headers_frame(frame)
        except TooManyStreamsError:
            if frame.stream_id % 2 == 0 or frame.stream_id <= self.highest_inbound_stream_id:
                raise
            self._decode(frame)
            self.highest_inbound_stream_id = frame.stream_id
            self._closed_streams[frame.stream_id] = StreamClosedBy.SEND_RST_STREAM
            refusal = RstStreamFrame(frame.stream_id)
            refusal.error_code = ErrorCodes.REFUSED_STREAM
            return [refusal], []

    def _decode(self, frame: HeadersFrame) -> None:
        """Keep the decoder's table in step with the client's."""
        try:
            self.decoder.decode(frame.data, raw=True)
        except HPACKError as error:
            raise CompressionError(str(error)) from error
