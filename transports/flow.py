"""How much one client may send: beyond it the server reads slowly, and TCP pushes the client back; who never stops is a flood.

Clients in the field begin with hundreds of messages at once, send 86 frames a second, and make good at four times the usual speed what they
kept while their network was away. Those are slowed for seconds at most, and nobody loses a sample. A client that is held back for longer
sends more than anybody speaks or types, and will not stop by itself.
"""

from typing import Final

from transports.limits import NO_LIMITS, Limits

AUDIO_RATE: Final = 4.0
"""Seconds of audio taken per second: real clients send one, a browser that was frozen catches up at most with a few."""
AUDIO_BURST_SECONDS: Final = 2.0
MESSAGE_RATE: Final = 50.0
"""Messages other than audio per second; the page sends four reports of its playback."""
MESSAGE_BURST: Final = 1_000.0
"""A raw client's opening has three messages for each turn of its history."""
FRAME_BURST: Final = 2_000.0
"""Such an opening, with the audio that did not wait for the answer."""
BYTE_BURST: Final = 2.0 * 1024 * 1024
"""The same in bytes, at 262,144 characters of prompt and history (`nova_opening.TEXT_LIMIT`), each of several bytes and in quotes."""
RECOVERY: Final = 0.25
"""Seconds of being held back that are forgotten in a second."""
CATCHING_UP: Final = 3.0
"""Kept audio that is made good in a second, at AUDIO_RATE and beside what is said meanwhile."""
CATCHING_UP_MARGIN_SECONDS: Final = 5.0
BYTES_PER_SAMPLE: Final = 2


class Flood(Exception):
    """A client sends too much for too long."""


class TokenBucket:
    """Grants amounts at a steady rate with a burst; what goes beyond is owed, and answered with the time to wait.

    Args:
        rate: tokens per second.
        burst: tokens that an idle client may spend at once.
        now: monotonic seconds.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, amount: float, now: float) -> float:
        """Spend tokens and return how many seconds to wait before the next message is read, 0 if none."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - amount
        self._at = now
        return max(0.0, -self._tokens / self._rate)

    def ask(self, amount: float, now: float) -> float:
        """Spend tokens only if there are so many; return 0, or how many seconds from now there will be."""
        missing = amount - min(self._burst, self._tokens + (now - self._at) * self._rate)
        if missing > 0:
            return missing / self._rate
        self.take(amount, now)
        return 0.0


class ClientFlow:
    """The limits of one connection.

    Args:
        now: monotonic seconds.
        limits: of every connection.
        resume_seconds: how much audio a client may have kept that comes back.
    """

    __slots__ = ("_audio", "_audio_patience", "_bytes", "_frames", "_messages", "_patience", "input_hertz")

    def __init__(self, now: float, limits: Limits = NO_LIMITS, resume_seconds: float = 0.0) -> None:
        self.input_hertz = 16_000
        self._audio = TokenBucket(AUDIO_RATE, AUDIO_BURST_SECONDS, now)
        self._messages = TokenBucket(MESSAGE_RATE, MESSAGE_BURST, now)
        self._frames = TokenBucket(limits.frames_per_second, FRAME_BURST, now)
        self._bytes = TokenBucket(limits.bytes_per_second, BYTE_BURST, now)
        self._patience = TokenBucket(RECOVERY, limits.flood_seconds, now)
        longest = resume_seconds / CATCHING_UP + CATCHING_UP_MARGIN_SECONDS if resume_seconds else 0.0
        self._audio_patience = TokenBucket(RECOVERY, max(limits.flood_seconds, longest), now)

    def frame(self, size: int, now: float) -> float:
        """Account for a frame of any kind with so many bytes; return the seconds to wait.

        Raises:
            Flood: the client was made to wait for too long.
        """
        return self._bear(self._patience, max(self._frames.take(1.0, now), self._bytes.take(size, now)), now)

    def audio(self, pcm: bytes, now: float) -> float:
        """Account for a piece of audio; return the seconds to wait.

        Raises:
            Flood: the client was made to wait for too long.
        """
        return self._bear(self._audio_patience, self._audio.take(len(pcm) / BYTES_PER_SAMPLE / self.input_hertz, now), now)

    def message(self, now: float) -> float:
        """Account for any other message; return the seconds to wait.

        Raises:
            Flood: the client was made to wait for too long.
        """
        return self._bear(self._patience, self._messages.take(1.0, now), now)

    def _bear(self, patience: TokenBucket, wait: float, now: float) -> float:
        if wait > 0 and patience.take(wait, now) > 0:
            raise Flood
        return wait
