"""`server.py` with some of those who listen to sessions, so that a bench sees what each costs.

Run as `python -m bench.observed_server [CLASS ...]`, with the settings of `server.py`; each is the name of a class that attends sessions.
"""

import sys
from collections.abc import Sequence
from typing import Any

import bootstrap
import server
from session.interfaces import Attendance, AudioAttendance
from session.registry import SessionRegistry


def main(wanted: list[str]) -> int:
    """Leave out whoever is not wanted, and run the server."""

    def some[T](attendances: Sequence[T]) -> list[T]:
        return [one for one in attendances if type(one).__name__ in wanted]

    def observed(*, attendances: Sequence[Attendance], audio_attendances: Sequence[AudioAttendance], **more: Any) -> SessionRegistry:
        found = {type(one).__name__ for one in (*attendances, *audio_attendances)}
        if not found.issuperset(wanted):
            raise SystemExit(f"nobody attends sessions of the name {', '.join(set(wanted) - found)}: there are {', '.join(sorted(found))}")
        return SessionRegistry(attendances=some(attendances), audio_attendances=some(audio_attendances), **more)

    bootstrap.SessionRegistry = observed  # type: ignore[assignment,attr-defined]  # called alike
    return server.main([])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
