"""Sizes that keep the code readable: docs/discussion/structure.md, "Sizes"."""

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

from tests.project.tree import name_of, parse, product_files

FILE_LINES = {"median": 150, "p90": 350, "max": 500}
FUNCTION_LINES = {"median": 10, "p90": 35, "max": 80}
STATE_BOOLEANS = 2
UNCLEAR_NAMES = {"util", "utils", "helper", "helpers", "common", "manager", "handler", "misc"}

type Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    yield from (node for node in ast.walk(parse(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines_of(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def p90(sizes: list[int]) -> float:
    return quantiles(sizes, n=10)[-1]


def test_files_are_short() -> None:
    sizes = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in product_files()}
    with_code = [lines for lines in sizes.values() if lines > 2]

    assert [f"{name}: {lines}" for name, lines in sizes.items() if lines > FILE_LINES["max"]] == []
    assert median(with_code) <= FILE_LINES["median"]
    assert p90(with_code) <= FILE_LINES["p90"]


def test_functions_are_short() -> None:
    sizes = {f"{name_of(path)}:{node.lineno} {node.name}": lines_of(node) for path in product_files() for node in functions(path)}

    assert [f"{name}: {lines}" for name, lines in sizes.items() if lines > FUNCTION_LINES["max"]] == []
    assert median(sizes.values()) <= FUNCTION_LINES["median"]
    assert p90(list(sizes.values())) <= FUNCTION_LINES["p90"]


def state_booleans(node: ast.ClassDef) -> set[str]:
    """Return the attributes of self that are set to True or False."""
    found = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Assign | ast.AnnAssign) and isinstance(part.value, ast.Constant) and isinstance(part.value.value, bool):
            targets = part.targets if isinstance(part, ast.Assign) else [part.target]
            found |= {target.attr for target in targets if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self"}
    return found


def test_no_class_hides_its_state_in_booleans() -> None:
    classes = [(path, node) for path in product_files() for node in ast.walk(parse(path)) if isinstance(node, ast.ClassDef)]

    assert [f"{name_of(path)} {node.name}" for path, node in classes if len(state_booleans(node)) > STATE_BOOLEANS] == []


def test_modules_are_named_for_what_they_do() -> None:
    assert [name_of(path) for path in product_files() if path.stem in UNCLEAR_NAMES] == []
