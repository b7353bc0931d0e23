"""The counters of a session, as its last event has them."""

from session.hearing import Hearing
from session.queues import PlaybackQueue
from session.statistics import Statistics
from session.streams import Streams
from session.turns import TurnTracker


def figures(
    statistics: Statistics, *, hearing: Hearing, playback: PlaybackQueue, turns: TurnTracker, streams: Streams
) -> dict[str, int | float]:
    """Return all counters by name.

    Args:
        statistics: counted beside the parts.
        hearing: of the user's audio.
        playback: of the assistant's speech.
        turns: of who spoke.
        streams: of the model.
    """
    return statistics.figures(
        {
            "audio_in_lost_ms": round(hearing.lost_ms),
            "audio_out_dropped_ms": round(playback.dropped_ms),
            "audio_out_flushed_ms": round(playback.flushed_ms + playback.waiting_ms),  # what waits goes with the end
            "turns": turns.number,
            "interruptions": turns.interruptions,
            "resumptions": streams.resumption.attempts,
        }
    )
