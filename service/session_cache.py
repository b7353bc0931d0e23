"""Voice sessions that were read a moment ago: whoever sends audio piece by piece asks for the same one each time."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from storage.voice_session_items import VoiceSession
from telemetry.counters import Counters

FRESH_SECONDS: Final = 2.0
"""How much older than the store an answer may be; other processes write every five seconds."""
MOST: Final = 1_024


class SessionCache:
    """Keeps the sessions that were used last, for a moment.

    Args:
        clock: monotonic seconds.
        counters: gets `voice_session_cache_hit` and `voice_session_cache_missed`, whose ratio is the hit rate.
    """

    def __init__(self, clock: Callable[[], float], counters: Counters) -> None:
        self._clock = clock
        self._counters = counters
        self._kept: OrderedDict[str, tuple[float, VoiceSession]] = OrderedDict()

    def find(self, session_id: str) -> VoiceSession | None:
        """Return a session as it was a moment ago; None where that is not known."""
        kept = self._kept.get(session_id)
        if kept is None or self._clock() - kept[0] >= FRESH_SECONDS:
            self._counters.add("voice_session_cache_missed")
            return None
        self._counters.add("voice_session_cache_hit")
        self._kept.move_to_end(session_id)
        return kept[1]

    def keep(self, session: VoiceSession) -> None:
        """Take note of a session as it is now."""
        self._kept[session.session_id] = (self._clock(), session)
        self._kept.move_to_end(session.session_id)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)

    def forget(self, session_id: str) -> None:
        """Take note that a session has changed."""
        self._kept.pop(session_id, None)
