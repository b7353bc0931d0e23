"""The page of faults names tests that exist, and at least one for each fault."""

import ast
import re

from tests.project.tree import ROOT

PAGE = ROOT / "docs" / "reference" / "faults-answered.md"
NAMED = re.compile(r"\[(tests/[\w/]+\.py)\]\([^)]+\): (`\w+`(?:, `\w+`)*)")


def functions_of(path: str) -> set[str]:
    """Return the names of all test functions of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_the_page_of_faults_names_exists() -> None:
    named = [(path, name.strip("` ")) for path, names in NAMED.findall(PAGE.read_text(encoding="utf-8")) for name in names.split(",")]
    missing = [f"{path}: {name}" for path, name in named if name not in functions_of(path)]

    assert len(named) > 40
    assert missing == []


def test_every_fault_has_a_test() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith(("| ---", "| fault"))]

    assert len(rows) > 15
    assert [row.split("|")[1] for row in rows if not NAMED.search(row)] == []
