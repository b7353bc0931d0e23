"""The pages on events and alerts name every channel, member, rule and bound that there is."""

import re

import pytest

from observers.alert_rules import rules
from observers.backlog import ENTRIES
from publishing.routes import NAMESPACE, TABLE
from publishing.shapes import to_json
from tests.project.tree import ROOT
from tests.publishing.test_routes import ROWS

EVENTS = (ROOT / "docs" / "how-to" / "follow-events.md").read_text(encoding="utf-8")
ALERTS = (ROOT / "docs" / "how-to" / "alerts.md").read_text(encoding="utf-8")


def test_every_channel_is_on_the_page() -> None:
    channels = {channel for rule in TABLE.values() for channel in (rule.shared, rule.own) if channel and "{kind}" not in channel}

    assert [channel for channel in (*channels, "orders", "appointments") if f"`{NAMESPACE}/{channel}`" not in EVENTS] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row[0]).__name__)
def test_every_member_of_an_event_is_on_the_page(row: tuple[object, ...]) -> None:
    told = to_json(row[0])  # type: ignore[arg-type]  # the first of a row is an event
    (line,) = [line for line in EVENTS.splitlines() if line.startswith("| `") and f"`{told['type']}`" in line.split("|")[1]]

    assert [name for name in told if name not in ("type", "timestamp") and f"`{name}`" not in line] == []


def test_every_rule_is_on_the_page_with_its_severity() -> None:
    lines = {found[1]: line for line in ALERTS.splitlines() if (found := re.match(r"\| `(\w+)` \|", line))}

    assert {rule.code for rule in rules(5)} == set(lines)
    assert [rule.code for rule in rules(5) if rule.severity.value not in lines[rule.code]] == []


def test_the_bound_of_the_line_is_on_the_page() -> None:
    assert f"{ENTRIES:,} messages" in EVENTS
