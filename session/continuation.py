"""When a stream gives way to the next one. Pure: `now` is monotonic seconds.

Nova Sonic ends a stream after 8 minutes, and no stream outlives the credentials that sign it. So the session opens the next stream before
that, told what was said, at the first moment at which nobody speaks. What the user says until the next stream is accepted waits in the
uplink queue and goes to the next one; when that is refused, it goes on to the old one, which has not been touched.
"""

from s2s.events import ContentEnded, ContentStarted, OutputEvent, Role, Stage, TextOutput, UsageEvent

NEVER = float("inf")
RENEW_SECONDS = 360.0
"""Age at which a stream gives way at the first quiet moment: what AWS's samples and most clients of the service do."""
FORCE_SECONDS = 440.0
"""Age at which it gives way while somebody speaks: 40 s are left for a next stream that is refused at first."""
EXPIRY_SECONDS = 90.0
"""A stream gives way this long before its credentials expire: at the first quiet moment, and in the last third whatever happens."""
JITTER_SECONDS = 30.0
"""By up to this much sessions renew earlier than others: after a deployment all of them are of one age."""
RETRY_SECONDS = 5.0
"""Pause after a next stream that was refused."""
CHECK_SECONDS = 0.1
"""How often a stream that should give way looks whether it is quiet."""
LINGER_SECONDS = 10.0
"""How long the old stream is listened to: texts of what was said come up to 9 s after the speech."""


class Continuation:
    """Decides when a stream that carries the session should give way. Nothing is due before the first stream was opened.

    Args:
        jitter_seconds: taken off RENEW_SECONDS, so that sessions that began together do not renew together.
    """

    def __init__(self, jitter_seconds: float = 0.0) -> None:
        self.check_at = NEVER
        """When to ask `wants_next` again."""
        self._jitter_seconds = jitter_seconds
        self._due_at = self._force_at = NEVER

    def opened(self, now: float, signed_for_seconds: float | None) -> None:
        """Take note of a stream that carries the session from now on.

        Args:
            now: monotonic seconds.
            signed_for_seconds: until its credentials expire; None for never.
        """
        left = NEVER if signed_for_seconds is None else signed_for_seconds - EXPIRY_SECONDS
        self._due_at = self.check_at = now + max(0.0, min(RENEW_SECONDS - self._jitter_seconds, left))
        self._force_at = now + max(0.0, min(FORCE_SECONDS, left + 2 / 3 * EXPIRY_SECONDS))

    def wants_next(self, now: float, *, is_quiet: bool) -> bool:
        """Tell whether to open the next stream now."""
        if now < self._due_at:
            return False
        self.check_at = now + CHECK_SECONDS
        return self.may_switch(now, is_quiet=is_quiet)

    def may_switch(self, now: float, *, is_quiet: bool) -> bool:
        """Tell whether this is a moment for the next stream to take over."""
        return is_quiet or now >= self._force_at

    def refused(self, now: float) -> None:
        """Take note that the next stream was refused, or not wanted when it came."""
        self._due_at = self.check_at = now + RETRY_SECONDS
        self._force_at = max(self._force_at, self._due_at)


class LeftStream:
    """The stream before the present one, of which only the late texts and the count of tokens are still of use."""

    def __init__(self) -> None:
        self.generation: int | None = None
        self.close_at = NEVER
        self._texts: set[str] = set()

    def leave(self, generation: int, now: float) -> None:
        """Take note that this stream was left."""
        self.generation, self.close_at = generation, now + LINGER_SECONDS
        self._texts.clear()

    def forget(self) -> None:
        """Take note that it is closed."""
        self.generation, self.close_at = None, NEVER

    def takes(self, generation: int, event: OutputEvent) -> bool:
        """Tell whether an event still counts: the text of what the assistant said, and usage."""
        if generation != self.generation:
            return False
        match event:
            case UsageEvent():
                return True
            case ContentStarted(role=Role.ASSISTANT, stage=Stage.FINAL):
                self._texts.add(event.content_id)
                return True
            case TextOutput() | ContentEnded():
                return event.content_id in self._texts
            case _:
                return False
