"""When a stream gives way to the next one. Pure: `now` is monotonic seconds.

Nova Sonic ends a stream after 8 minutes, and no stream outlives the credentials that sign it. So the session opens the next stream before
that, told what was said, at the first moment at which nobody speaks. What the user says until the next stream is accepted waits in the
uplink queue and goes to the next one; when that is refused, it goes on to the old one, which has not been touched.
"""

from collections.abc import Callable
from enum import Enum

from s2s.events import AudioOutput, ContentEnded, ContentStarted, ContentType, OutputEvent, Role, Stage, TextOutput, UsageEvent

NEVER = float("inf")
RENEW_SECONDS = 360.0
"""Age at which a stream gives way at the first quiet moment: what AWS's samples and most clients of the service do."""
FORCE_SECONDS = 440.0
"""Age at which it gives way while somebody speaks: 40 s are left for a next stream that is refused at first."""
LAST_SECONDS = 465.0
"""Age at which it gives way while a tool runs: the service ends it 15 s later, and a result can be told to the next one in words."""
IDLE_SECONDS = 240.0
"""A stream on which nobody spoke or wrote for this long gives way too: the service is said to end one after 295 s of silence."""
NOISE_SECONDS = 20.0
"""How long noise that could be the beginning of a word is waited out."""
EXPIRY_SECONDS = 90.0
"""A stream gives way this long before its credentials expire: at the first quiet moment, and in the last third whatever happens."""
JITTER_SECONDS = 30.0
"""By up to this much sessions renew earlier than others: after a deployment all of them are of one age."""
RETRY_SECONDS = 5.0
"""Pause after a next stream, accepted or refused."""
CHECK_SECONDS = 0.1
"""How often a stream that should give way looks whether it is quiet."""
LINGER_SECONDS = 10.0
"""How long the old stream is listened to: texts of what was said come up to 9 s after the speech."""


class Moment(Enum):
    """What goes on in the conversation, and what a change of the stream would cost."""

    TOOL = "a tool runs"
    """Its result belongs to the stream that called it."""
    VOICES = "somebody speaks or is about to"
    NOISE = "nobody is known to speak, but it is not still"
    QUIET = "quiet"


class Continuation:
    """Decides when a stream that carries the session should give way. Nothing is due before the first stream was opened.

    Args:
        jitter_seconds: how much earlier than others the stream is due, so that sessions that began together do not renew together.
    """

    def __init__(self, jitter_seconds: float = 0.0) -> None:
        self._jitter_seconds = jitter_seconds
        self._due_at = self._idle_at = self._force_at = self._last_at = NEVER
        self._look_at = self._noise_until = NEVER

    @property
    def check_at(self) -> float:
        """When to ask `wants_next` again."""
        return max(self._look_at, min(self._due_at, self._idle_at))

    def opened(self, now: float, signed_for_seconds: float | None) -> None:
        """Take note of a stream that carries the session from now on.

        Args:
            now: monotonic seconds.
            signed_for_seconds: until its credentials expire; None for never.
        """
        left = NEVER if signed_for_seconds is None else signed_for_seconds - EXPIRY_SECONDS
        self._due_at = now + max(0.0, min(RENEW_SECONDS - self._jitter_seconds, left))
        self._force_at = now + max(0.0, min(FORCE_SECONDS, left + 2 / 3 * EXPIRY_SECONDS))
        self._last_at = now + max(0.0, min(LAST_SECONDS, left + 5 / 6 * EXPIRY_SECONDS))
        # Not at once: credentials that are near their end and are not renewed would open streams without end.
        self._look_at, self._noise_until = now + RETRY_SECONDS, NEVER
        self.used(now)

    def hurry(self, now: float) -> None:
        """Let the stream give way at the first quiet moment, but no sooner than RETRY_SECONDS after it was opened."""
        self._due_at = now

    def used(self, now: float) -> None:
        """Take note of speech of the user, or of text."""
        self._idle_at = now + IDLE_SECONDS - self._jitter_seconds

    def wants_next(self, now: float, look: Callable[[], Moment]) -> bool:
        """Tell whether to open the next stream now.

        Args:
            now: monotonic seconds.
            look: tells what goes on; asked only when a change is due.
        """
        if now < self.check_at:
            return False
        self._look_at = now + CHECK_SECONDS
        moment = look()
        if moment is Moment.NOISE and self._noise_until == NEVER:
            self._noise_until = now + NOISE_SECONDS
        return self.may_switch(now, moment) or (moment is Moment.NOISE and now >= self._noise_until)

    def may_switch(self, now: float, moment: Moment) -> bool:
        """Tell whether this is a moment for the next stream to take over."""
        return moment is Moment.QUIET or now >= (self._last_at if moment is Moment.TOOL else self._force_at)

    def is_last_chance(self, now: float) -> bool:
        """Tell whether the stream has to go, whatever is lost by that."""
        return now >= self._last_at

    def refused(self, now: float) -> None:
        """Take note that the next stream was refused, or not wanted when it came."""
        self._look_at = now + RETRY_SECONDS


class LeftStream:
    """The stream before the present one, of which only the late texts and the count of tokens are still of use.

    One that was left in the middle of an answer is heard out, until the other stream or the user speaks.
    """

    def __init__(self) -> None:
        self.generation: int | None = None
        self.close_at = NEVER
        self.speaks = False
        """Whether it goes on with an answer."""
        self._confirmed: set[str] = set()
        """Blocks of texts of what was said."""
        self._planned: set[str] = set()
        """Blocks of texts of what it goes on to say."""

    def leave(self, generation: int, now: float, *, speaks: bool = False) -> None:
        """Take note that this stream was left."""
        self.generation, self.close_at, self.speaks = generation, now + LINGER_SECONDS, speaks
        self._confirmed.clear()
        self._planned.clear()

    def hush(self) -> None:
        """Take note that nobody wants to hear more of its answer."""
        self.speaks = False
        self._planned.clear()

    def forget(self) -> None:
        """Take note that it is closed."""
        self.generation, self.close_at, self.speaks = None, NEVER, False

    def takes(self, generation: int, event: OutputEvent) -> bool:
        """Tell whether an event still counts: the text of what the assistant said, usage, and the answer that it is speaking."""
        if generation != self.generation:
            return False
        match event:
            case UsageEvent():
                return True
            case AudioOutput():
                return self.speaks
            case ContentStarted(role=Role.ASSISTANT) if self.speaks or event.stage is Stage.FINAL:
                (self._confirmed if event.stage is Stage.FINAL else self._planned).add(event.content_id)
                return True
            case TextOutput():
                return event.content_id in self._confirmed | self._planned
            case ContentEnded():
                return event.content_id in self._confirmed | self._planned or (self.speaks and event.type is ContentType.AUDIO)
            case _:
                return False
