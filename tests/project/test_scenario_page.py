"""docs/reference/scenarios.md names whatever a scenario file can hold."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from nova_sonic_local.brains import scenario
from tests.project.tree import ROOT

PAGE = (ROOT / "docs" / "reference" / "scenarios.md").read_text(encoding="utf-8")
NAMED_FREELY = {"languages": 1, "slots": 1, "corrections": 1}
"""Tables whose members are named by the author of the file, to this depth."""
INNER_NAMES = {"synonyms", "errors", "words", "arguments", "defaults", "values", "say"}
"""Likewise, wherever they stand; `say` of a language is told by its members."""


def members(table: Mapping[str, object], languages: frozenset[str], *, freely: bool = False) -> Iterator[str]:
    """Yield the names of members that the format has, not the author."""
    for name, value in table.items():
        if not freely and name not in languages:
            yield name
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict) and name not in INNER_NAMES:
                yield from members(inner, languages, freely=name in NAMED_FREELY)


@pytest.mark.parametrize("path", sorted(scenario.BUILT_IN.parent.glob("*.toml")), ids=lambda path: path.stem)
def test_every_member_of_the_built_in_scenarios_is_described(path: Path) -> None:
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    languages = frozenset(document["languages"])
    described = set(re.findall(r"[\w.<>]+", " ".join(re.findall(r"`([^`]+)`", PAGE))))
    described |= {part for name in described for part in name.split(".")}

    assert {"hear", "say", "voices"} <= set(members(document, languages))
    assert set(members(document, languages)) - described == set()


@pytest.mark.parametrize("kind", sorted(scenario._SLOT_KINDS))
def test_every_kind_of_slot_is_described(kind: str) -> None:
    assert f"| `{kind}` |" in PAGE


@pytest.mark.parametrize("filter_name", ["date", "time", "money", "items", "total", "doctor"])
def test_every_filter_is_described(filter_name: str) -> None:
    assert f"`{filter_name}`" in PAGE.split("### Templates")[1].split("## ")[0]
