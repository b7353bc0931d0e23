"""How many frames that bring nothing are borne: floods of PING, SETTINGS, empty DATA and the like (CVE-2019-9512, 9515 and 9518)."""

from typing import Final

from s2s.bedrock.http2.frames import ErrorCode, PeerViolation

IDLE_FRAMES_PER_SECOND: Final = 1000
"""Frames that bring no stream on. Peers send a few; a thousand cost us some ten milliseconds."""
UNSENT_ANSWERS: Final = 1000
"""Answers to PING and SETTINGS that may wait while the peer reads nothing."""


class Patience:
    """Counts what a peer asks for without bringing anything."""

    __slots__ = ("_answers", "_idle_frames", "_since")

    def __init__(self) -> None:
        self._since = 0.0
        self._idle_frames = 0
        self._answers = 0

    def spend(self, now: float) -> None:
        """Count a frame that brings nothing; `now` in seconds on any clock.

        Raises:
            PeerViolation: it is one too many.
        """
        if now - self._since >= 1.0:
            self._since, self._idle_frames = now, 0
        self._idle_frames += 1
        if self._idle_frames > IDLE_FRAMES_PER_SECOND:
            raise PeerViolation(ErrorCode.ENHANCE_YOUR_CALM, f"more than {IDLE_FRAMES_PER_SECOND} frames in a second that bring nothing")

    def owe(self) -> None:
        """Count an answer that cannot be sent now.

        Raises:
            PeerViolation: it is one too many.
        """
        self._answers += 1
        if self._answers > UNSENT_ANSWERS:
            raise PeerViolation(ErrorCode.ENHANCE_YOUR_CALM, f"more than {UNSENT_ANSWERS} unread answers")

    def settle(self) -> None:
        """Forget the answers that waited: they have left."""
        self._answers = 0
