"""Markers name requirements that exist, and are found without running a test."""

import re
from itertools import groupby

import pytest

from scripts.requirements_page import Proof, UnreadableMarker, proofs, proofs_in, themes
from tests.project.tree import ROOT, packages

TESTS_OF = {"parts": "server", "nova_sonic_local": "emulator"}
"""Packages whose tests are in a folder of another name."""


def test_every_marker_names_a_requirement_that_exists() -> None:
    known = {name for theme in themes() for name in theme.statements}

    assert [proof for proof in proofs() if proof.requirement not in known] == []


def test_the_ids_of_a_theme_are_numbered_without_a_gap_and_each_says_something() -> None:
    for theme in themes():
        series, numbers = zip(*(name.split("-") for name in theme.statements), strict=True)

        assert len(set(series)) == 1
        assert [f"{number:02}" for number in range(1, len(numbers) + 1)] == list(numbers)
        assert all(statement.strip() for statement in theme.statements.values())


def test_no_two_requirements_of_a_theme_say_the_same() -> None:
    for theme in themes():
        said = sorted(re.sub(r"\W+", " ", statement).casefold() for statement in theme.statements.values())

        assert [statement for statement, same in groupby(said) if len(list(same)) > 1] == []


@pytest.mark.req("S4-79")
def test_every_package_has_tests_of_its_own() -> None:
    folders = {name: ROOT / "tests" / TESTS_OF.get(name, name) for name in packages()}

    assert [name for name, folder in folders.items() if not list(folder.rglob("test_*.py"))] == []


@pytest.mark.req("S2-21")
def test_the_lives_messages_errors_and_records_of_connections_have_37_tests_and_more() -> None:
    about = {f"S2-{number:02}" for number in (1, 2, *range(5, 31))}
    proved = {proof.requirement for proof in proofs()} & about
    tests = {(proof.file, proof.test) for proof in proofs() if proof.requirement in about}

    assert {f"S2-{number:02}" for number in range(9, 15)} <= proved, "every kind of message"
    assert len(tests) >= 37


def test_markers_of_tests_classes_and_files_are_found() -> None:
    source = """
import pytest
pytestmark = [pytest.mark.browser, pytest.mark.req("S4-10")]

@pytest.mark.req("S4-11", "S4-12")
async def test_one() -> None: ...

@pytest.mark.req("S4-13")
class TestMore:
    def test_two(self) -> None: ...
"""

    assert proofs_in(source, "f") == [
        Proof("S4-10", "f", "test_one"),
        Proof("S4-11", "f", "test_one"),
        Proof("S4-12", "f", "test_one"),
        Proof("S4-10", "f", "test_two"),
        Proof("S4-13", "f", "test_two"),
    ]


@pytest.mark.parametrize(
    "source",
    [
        "@pytest.mark.req(NAME)\ndef test_one() -> None: ...",
        "@pytest.mark.req(*NAMES)\ndef test_one() -> None: ...",
        "@pytest.mark.req('S4-10')\ndef not_a_test() -> None: ...",
        "rows = [pytest.param(1, marks=pytest.mark.req('S4-10'))]",
    ],
)
def test_a_marker_that_cannot_be_read_is_refused(source: str) -> None:
    with pytest.raises(UnreadableMarker, match=r"^f:\d"):
        proofs_in(source, "f")
