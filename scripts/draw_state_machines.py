"""Draw docs/reference/state-machines.md from the tables that the code runs on.

Run from the repository's root: python -m scripts.draw_state_machines
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path

from s2s.tables import CONTENT, PROMPT, STREAM
from session.hearing import HEEDS, Heed
from session.life_cycle import LIFE_CYCLE, State
from session.speaker import TRANSITIONS, Speaker
from session.streams import LIVES, Life

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "state-machines.md"

type Arrow = tuple[str, str, str]
"""State, what moves it, next state."""


def draw(first: str, arrows: Iterable[Arrow]) -> str:
    """Return a Mermaid state diagram.

    Args:
        first: the state in which the machine begins.
        arrows: every move; those between the same two states become one arrow. A state that nothing leaves is an end.
    """
    labels: dict[tuple[str, str], list[str]] = defaultdict(list)
    for before, label, after in arrows:
        labels[before, after].append(label)
    lines = [f"    [*] --> {first}"]
    lines += [f"    {before} --> {after}: {', '.join(moves)}" for (before, after), moves in labels.items()]
    left = {before for before, after in labels if before != after}
    lines += [f"    {state} --> [*]" for state in dict.fromkeys(after for _, after in labels) if state not in left]
    return "\n".join(("```mermaid", "stateDiagram-v2", *lines, "```"))


def arrows_of_pairs[S: Enum, E: Enum](table: Mapping[tuple[S, E], S]) -> list[Arrow]:
    """Return the arrows of a table of (state, event) to state."""
    return [(before.name, event.value, after.name) for (before, event), after in table.items()]


def arrows_of_rows[S: Enum, E](table: Mapping[S, Mapping[E, S]]) -> list[Arrow]:
    """Return the arrows of a table of state to (event to state)."""
    return [(before.name, _label(event), after.name) for before, row in table.items() for event, after in row.items()]


def _label(event: object) -> str:
    if isinstance(event, Enum):
        return str(event.value)
    return event.__name__ if isinstance(event, type) else str(event)


def render() -> str:
    """Return the page."""
    return f"""# State machines

Written by `python -m scripts.draw_state_machines` from the tables in the code; a test fails when it is not current. What is not drawn
either changes nothing (session and turns) or is refused before anything is sent (stream).

## Session

`LIFE_CYCLE` in `session/life_cycle.py`. Whatever happens, a session ends in CLOSED, once, and tells so with its last event.

{draw(State.CONNECTING.name, arrows_of_pairs(LIFE_CYCLE))}

## Streams of a session

`LIVES` in `session/streams.py`: what carries the session. When a stream dies and its failure allows no other, the session ends.

{draw(Life.CARRIED.name, arrows_of_pairs(LIVES))}

## What the user says

`HEEDS` in `session/hearing.py`: what the user's audio is that is kept for the next stream.

{draw(Heed.NOBODY.name, arrows_of_pairs(HEEDS))}

## Turns

`TRANSITIONS` in `session/speaker.py`: who is speaking, as the model's events tell it. Beside it the tracker knows what is still being
played, because Nova Sonic sends speech faster than it is heard.

{draw(Speaker.LISTENING.name, arrows_of_pairs(TRANSITIONS))}

## Stream

`STREAM` in `s2s/tables.py`: the events that may be sent on one stream to the model.

{draw("IDLE", arrows_of_rows(STREAM))}

## Prompt

`PROMPT` in `s2s/tables.py`: which kind of content block may open. The end of the AUDIO block leads from LISTENING to DEAF.

{draw("EMPTY", [*arrows_of_rows(PROMPT), ("LISTENING", "end of the AUDIO block", "DEAF")])}

## Content block

`CONTENT` in `s2s/tables.py`.

{draw("EMPTY", arrows_of_rows(CONTENT))}
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
