"""Whether the client is there. Pure: `now` is monotonic seconds.

A session goes on without its client for a while: the model hears silence, tools run, and the speech waits unheard.
"""

from session.continuation import NEVER
from session.effects import ClientBack, ClientLost
from session.queues import PlaybackQueue


class Presence:
    """Knows whether somebody listens, and until when it is borne that nobody does.

    Args:
        playback: the listener's queue: nothing leaves it while nobody listens, and its clock stands still.
    """

    def __init__(self, playback: PlaybackQueue) -> None:
        self._playback = playback
        self._until = NEVER

    @property
    def is_away(self) -> bool:
        """Whether the client is expected back."""
        return self._until != NEVER

    @property
    def deadline(self) -> float:
        """When to ask `is_given_up`."""
        return self._until

    def take(self, given: ClientLost | ClientBack, now: float) -> None:
        """Take note that the connection is gone, or that there is another one."""
        if isinstance(given, ClientLost):
            self._playback.hold(now, given.undelivered_samples)
            self._until = min(self._until, now + max(0.0, given.grace_seconds))
        else:
            self._playback.release(now, given.undelivered_samples)
            self._until = NEVER

    def is_given_up(self, now: float) -> bool:
        """Tell whether the client has been away for too long."""
        return now >= self._until
