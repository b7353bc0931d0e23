"""The recordings that clients send while they speak, as samples for their sessions."""

from collections.abc import Sequence

from audio.decoding import AudioDecoding
from audio.errors import AudioError
from audio.recordings import Recording
from session.refused_audio import as_session_error
from transports.dialects.interface import SendEncoded


class Recordings:
    """The recordings of one connection, one after another: what is decoded comes in the order in which it was sent.

    Args:
        decoding: decodes them.
    """

    def __init__(self, decoding: AudioDecoding) -> None:
        self._decoding = decoding
        self._number = 0
        self._recording: Recording | None = None

    async def decode(self, sent: SendEncoded) -> Sequence[bytes]:
        """Return the samples of the next piece; none any more of a recording in which something was wrong.

        Raises:
            SessionError: it cannot be decoded; another recording may.
        """
        try:
            return await self._decode(sent)
        except AudioError as error:
            raise as_session_error(error) from None

    async def _decode(self, sent: SendEncoded) -> Sequence[bytes]:
        if sent.recording != self._number:
            self._number, self._recording = sent.recording, None
            self._recording = self._decoding.open(sent.encoding)
        if (recording := self._recording) is None:
            return ()
        self._recording = None  # so that nobody uses it again when this fails, or is cancelled while the thread is at it
        pieces = await self._decoding.decode(recording, sent.data)
        self._recording = recording
        return pieces
