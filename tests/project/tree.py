"""What the repository holds, for the tests on the repository itself."""

import ast
import os
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

LEFT_OUT = {"__pycache__", "node_modules", "build", "htmlcov"}
ENTRY_POINTS = (
    "server",
    "self_check",
    "bootstrap",
    "config",
    "endpoints",
    "lambda_changes",
    "local_emulator",
    "record_settings",
    "setting_values",
)
BESIDE_THE_PRODUCT = ("tests", "bench", "infra")
"""Folders whose code is not part of what runs for a user."""

PURE = {
    "cascade": frozenset({"calls", "client", "converse", "polly", "stream", "transcribe"}),
    "s2s": frozenset({"bedrock"}),
    "session": frozenset({"keeper", "registry", "runner", "stream_quota"}),
    "transports/dialects": frozenset(),
}
"""Folders of pure modules, with what in them is not pure (docs/discussion/structure.md)."""


@cache
def _all_files() -> tuple[Path, ...]:
    found = []
    for folder, subfolders, names in os.walk(ROOT):
        # Pruned here: what was installed into hidden folders is a hundred thousand files.
        subfolders[:] = [name for name in subfolders if name not in LEFT_OUT and (name == ".ci" or not name.startswith("."))]
        found += [Path(folder, name) for name in names]
    return tuple(sorted(found))


def files(*suffixes: str) -> Iterator[Path]:
    """Yield every file of the repository, without caches and what was installed."""
    yield from (path for path in _all_files() if not suffixes or path.suffix in suffixes)


def product_files() -> list[Path]:
    """Return the Python files that run for a user."""
    return [path for path in files(".py") if path.relative_to(ROOT).parts[0] not in BESIDE_THE_PRODUCT]


def packages() -> list[str]:
    """Return the product's import packages: top folders with an __init__.py."""
    names = [path.parent.name for path in ROOT.glob("*/__init__.py")]
    return sorted(name for name in names if name not in BESIDE_THE_PRODUCT)


def pure_modules() -> list[str]:
    """Return the dotted names of all pure modules."""
    names = []
    for folder, impure in PURE.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            if parts[0] not in impure and parts[-1] != "__init__":
                names.append(".".join((*folder.split("/"), *parts)))
    return sorted(names)


def parse(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name_of(path: Path) -> str:
    """Return a file's path in the repository."""
    return path.relative_to(ROOT).as_posix()


def pyproject() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def make_targets() -> set[str]:
    """Return the targets of the Makefile."""
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
