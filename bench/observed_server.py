"""`server.py` with some of those who listen to sessions, so that a bench sees what each costs.

Run as `python -m bench.observed_server [CLASS ...]`, with the settings of `server.py`; each is the name of a class that attends sessions.
"""

import sys

import bootstrap
import server
from record_parts import Ground, RecordParts, open_record_parts


def main(wanted: list[str]) -> int:
    """Leave out whoever is not wanted, and run the server."""

    async def open_some(ground: Ground) -> RecordParts:
        parts = await open_record_parts(ground)
        found = {type(one).__name__ for one in (*parts.attendances, *parts.audio_attendances)}
        if not found.issuperset(wanted):
            raise SystemExit(f"nobody attends sessions of the name {', '.join(set(wanted) - found)}: there are {', '.join(sorted(found))}")
        parts.attendances[:] = [one for one in parts.attendances if type(one).__name__ in wanted]
        parts.audio_attendances[:] = [one for one in parts.audio_attendances if type(one).__name__ in wanted]
        return parts

    bootstrap.open_record_parts = open_some  # type: ignore[attr-defined]  # called alike
    return server.main([])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
