"""The pages of faults, threats and security name tests that exist, and at least one for each row, or why there is none."""

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest

from tests.project.tree import ROOT

REFERENCE = ROOT / "docs" / "reference"
ROWS = {"faults-answered.md": 15, "threats.md": 30, "security.md": 50}
"""Of each page, at least."""
NAMED = re.compile(r"\[(tests/[\w/]+\.py)\]\([^)]+\): (`\w+`(?:, `\w+`)*)")
EXCUSED = re.compile(r"^ (?:Out of scope: |Decided: )\S")
"""How the second column begins where nothing can show it."""

pages = pytest.mark.parametrize("page", [REFERENCE / name for name in ROWS], ids=lambda page: page.stem)


def functions_of(path: str) -> set[str]:
    """Return the names of all test functions of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def rows_of(page: Path) -> list[str]:
    """Return the rows of all tables of a page, without their heads."""
    lines = page.read_text(encoding="utf-8").splitlines()
    heads = {line for line, below in pairwise(lines) if below.startswith("| ---")}
    return [line for line in lines if line.startswith("| ") and not line.startswith("| ---") and line not in heads]


@pages
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    named = [(path, name.strip("` ")) for path, names in NAMED.findall(page.read_text(encoding="utf-8")) for name in names.split(",")]
    missing = [f"{path}: {name}" for path, name in named if name not in functions_of(path)]

    assert len(named) > 2 * ROWS[page.name]
    assert missing == []


@pages
def test_every_row_has_a_test_or_says_why_it_has_none(page: Path) -> None:
    rows = rows_of(page)

    assert len(rows) >= ROWS[page.name]
    assert [row.split("|")[1] for row in rows if not NAMED.search(row) and not EXCUSED.match(row.split("|")[2])] == []
