"""The diagrams of the state machines."""

from s2s.tables import STREAM
from scripts.draw_state_machines import PAGE, arrows_of_pairs, arrows_of_rows, draw, render
from session.life_cycle import LIFE_CYCLE
from session.speaker import TRANSITIONS


def test_the_page_of_the_state_machines_is_current() -> None:
    assert render() == PAGE.read_text(encoding="utf-8"), "run python -m scripts.draw_state_machines"


def test_a_diagram_begins_joins_arrows_and_ends_where_nothing_leaves() -> None:
    diagram = draw("A", [("A", "go", "B"), ("A", "run", "B"), ("B", "stay", "B"), ("B", "stop", "C")])

    assert diagram.splitlines() == [
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> A",
        "    A --> B: go, run",
        "    B --> B: stay",
        "    B --> C: stop",
        "    C --> [*]",
        "```",
    ]


def test_every_row_of_the_tables_is_an_arrow() -> None:
    assert len(arrows_of_pairs(LIFE_CYCLE)) == len(LIFE_CYCLE)
    assert len(arrows_of_pairs(TRANSITIONS)) == len(TRANSITIONS)
    assert len(arrows_of_rows(STREAM)) == sum(len(row) for row in STREAM.values())
    assert ("PROMPT_CLOSED", "SessionEnd", "CLOSED") in arrows_of_rows(STREAM)
