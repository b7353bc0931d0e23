"""What a test or a person can see of a running emulator and do to it; the admin endpoint and the pytest fixture both go through here."""

from collections.abc import Sequence

import orjson

from nova_sonic_local.faults import parse_faults
from nova_sonic_local.journal import Direction, Row, StreamLog
from nova_sonic_local.record import row_line
from nova_sonic_local.service import Service
from nova_sonic_local.upcoming import MOST_TIMES, NextPlan, Operation


class NoSuchStreamError(LookupError):
    """No stream has this id, or it has been forgotten."""


class StreamEndedError(LookupError):
    """The stream is over: nothing can be done to it."""


class Control:
    """Looks at one emulator and steers it. To be used on the emulator's event loop.

    Args:
        service: what serves the streams.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def keeps_sound(self) -> bool:
        """Whether transcripts hold the samples of audio."""
        return self._service.journal.keeps_sound

    @property
    def usual_brain(self) -> str:
        """The name of the brain of streams that ask for none."""
        return self._service.casting.usual

    def plan(self, operation: Operation = Operation.NOVA_SONIC) -> NextPlan:
        """Return what the next streams, or requests of another operation, get."""
        return self._service.upcoming.plan(operation)

    def streams(self) -> list[dict[str, object]]:
        """Return the live streams and the last ones that ended, the oldest first."""
        return [log.summary() for log in self._service.journal.logs()]

    def counters(self) -> dict[str, object]:
        """Return the sums over all streams since the start or the last reset."""
        return self._service.journal.counters()

    def log(self, name: str) -> StreamLog:
        """Return the log of a stream, by its id or its request id.

        Raises:
            NoSuchStreamError: there is none.
        """
        log = self._service.journal.find(name)
        if log is None:
            raise NoSuchStreamError("no stream has this id, or it has been forgotten")
        return log

    def inject(self, name: str, faults: str) -> dict[str, object]:
        """Let something go wrong on a live stream, and return what it is like now.

        Raises:
            NoSuchStreamError: there is no such stream.
            StreamEndedError: it is over.
            ValueError: there is no such fault.
        """
        log = self.log(name)
        stream = self._service.find(log.card.number)
        if stream is None:
            raise StreamEndedError("the stream has ended")
        stream.inject(faults)
        return log.summary()

    async def plan_next(self, brain: str = "", faults: str = "", times: int = 1, operation: Operation = Operation.NOVA_SONIC) -> NextPlan:
        """Plan what the next streams get, in place of an earlier plan.

        Args:
            brain: name[:scenario]; empty for the usual one.
            faults: empty for the usual ones.
            times: for how many streams; 0 takes an earlier plan back.
            operation: whose streams or requests they are.

        Raises:
            ValueError: there is no such brain, scenario or fault, or the number is out of range.
        """
        if not 0 <= times <= MOST_TIMES:
            raise ValueError(f"times must be 0 to {MOST_TIMES}")
        parse_faults(faults)
        await self._service.casting.cast(brain)
        self._service.upcoming.set(NextPlan(brain, faults, times) if times else NextPlan(), operation)
        return self.plan(operation)

    async def reset(self) -> None:
        """End all streams, and forget transcripts, counters and plans."""
        await self._service.reset()


def transcript(rows: Sequence[Row], *, has_sound: bool = False) -> list[dict[str, object]]:
    """Return events for people and programs: audio as its length, unless the sound is asked for and was kept."""
    return [_entry(row, has_sound=has_sound) for row in rows]


def _entry(row: Row, *, has_sound: bool) -> dict[str, object]:
    entry: dict[str, object] = {"number": row.number, "t": round(row.seconds, 6), "dir": row.direction.value, "size": row.size}
    if row.audio_bytes is not None:
        entry["name"] = "audioInput" if row.direction is Direction.IN else "audioOutput"
        entry["audio_bytes"] = row.audio_bytes
        if not has_sound:
            return entry
    if row.data is None:
        return entry
    line = row_line(row)
    event = line.get("event")
    if isinstance(event, dict) and len(event) == 1:
        entry["name"] = next(iter(event))
    return entry | line


def render(head: dict[str, object], rows: Sequence[Row], *, has_sound: bool) -> bytes:
    """Return the JSON of a stream with its events."""
    return orjson.dumps(head | {"events": transcript(rows, has_sound=has_sound)}, option=orjson.OPT_APPEND_NEWLINE)
