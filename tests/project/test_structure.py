"""The import rules name every package and module there is, and the files around the code agree with the folders."""

import ast
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.project.tree import (
    BESIDE_THE_PRODUCT,
    ENTRY_POINTS,
    ROOT,
    files,
    name_of,
    packages,
    parse,
    product_files,
    pure_modules,
    pyproject,
)

REASONED_NOQA = re.compile(r"# (ruff: )?noqa: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)* +(# |- |-- )?\w+")
DISTRIBUTIONS = {"yaml": "pyyaml", "importlinter": "import-linter", "jwt": "pyjwt"}
"""Where a distribution is named otherwise than what it is imported as."""


def contract(word: str) -> dict[str, list[str]]:
    found = [one for one in pyproject()["tool"]["importlinter"]["contracts"] if word in one["name"]]
    assert len(found) == 1
    return dict(found[0])


def test_the_import_rules_cover_every_package() -> None:
    layers = {name.strip() for layer in contract("Each layer")["layers"] for name in layer.split("|")}

    assert packages() == sorted(pyproject()["tool"]["importlinter"]["root_packages"])
    assert set(packages()) - {"nova_sonic_local"} == layers


def test_the_import_rules_cover_every_pure_module() -> None:
    named = contract("pure modules")["source_modules"]
    covered = {module for module in pure_modules() if any(module == name or module.startswith(f"{name}.") for name in named)}

    assert pure_modules() == sorted(covered)
    assert [
        name
        for name in named
        if not (ROOT / name.replace(".", "/")).with_suffix(".py").is_file() and "." in name and not (ROOT / name.replace(".", "/")).is_dir()
    ] == []


@pytest.mark.parametrize("path", [path for path in files(".py") if path.name == "__init__.py"], ids=name_of)
def test_packages_load_nothing_by_themselves(path: Path) -> None:
    assert [
        ast.unparse(node) for node in parse(path).body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ] == []


def test_only_the_entry_points_read_the_environment() -> None:
    readers = [
        name_of(path)
        for path in product_files()
        if re.search(r"\bos\.(environ|getenv)\b", path.read_text(encoding="utf-8")) and name_of(path).split("/")[0] in packages()
    ]

    assert [name for name in readers if not name.startswith(("nova_sonic_local/", "parts/"))] == []


def pinned(name: str) -> set[str]:
    """Return the distributions that a requirements file pins."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {re.split(r"[=\[ ;]", line)[0].lower().replace("_", "-") for line in lines if re.match(r"[a-zA-Z0-9]", line)}


def imported(paths: Iterable[Path]) -> set[str]:
    """Return the distributions that files import when they run, without our own and the standard library."""
    found = set()
    for path in paths:
        tree = parse(path)
        for_types = {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
            for part in ast.walk(node)
        }
        for node in ast.walk(tree):
            if id(node) in for_types:
                continue
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").split(".")[0])
    examples = {path.stem for path in files(".py") if name_of(path).startswith("examples/")}  # to be copied: they import each other so
    own = {*packages(), *BESIDE_THE_PRODUCT, *ENTRY_POINTS, *examples, "scripts", *sys.stdlib_module_names}
    return {DISTRIBUTIONS.get(name, name).lower().replace("_", "-") for name in found - own}


def of_emulator(path: Path) -> bool:
    return name_of(path).startswith("nova_sonic_local/")


def of_pytest(path: Path) -> bool:
    """Tell whether only pytest loads a file."""
    return name_of(path) == "nova_sonic_local/pytest_plugin.py"


RUN_REQUIREMENTS = ("requirements.txt", "requirements-webm.txt")


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        ([path for path in product_files() if not of_emulator(path) and not name_of(path).startswith("scripts/")], RUN_REQUIREMENTS),
        ([path for path in product_files() if of_emulator(path) and not of_pytest(path)], ("requirements-local.txt",)),
        (list(files(".py")), ("requirements.txt", "requirements-local.txt", "requirements-dev.txt")),
    ],
    ids=["server", "emulator", "everything"],
)
def test_what_is_imported_is_pinned(paths: list[Path], names: tuple[str, ...]) -> None:
    allowed = {distribution for name in names for distribution in pinned(name)}

    assert imported(paths) - allowed == set()


def test_the_image_holds_every_package_of_the_server() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    folders = {*packages(), "assistants", "web"}

    assert folders == set(re.findall(r"^COPY (\w+)/ \1/$", dockerfile, re.MULTILINE))
    assert [folder for folder in folders if f"!{folder}" not in ignored] == []
    assert [name for name in ENTRY_POINTS if f"!{name}.py" not in ignored] == []


def test_every_silenced_lint_rule_has_a_reason() -> None:
    silenced = [
        f"{name_of(path)}:{number} {line.strip()}"
        for path in files(".py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"# (ruff: )?noqa", line) and not REASONED_NOQA.search(line) and path != Path(__file__)
    ]

    assert silenced == []
