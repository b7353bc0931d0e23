"""The documents say what is there: generated pages are current, links lead somewhere, and every command exists."""

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from scripts.make_docs import pages, stale
from tests.project.tree import ROOT, files, make_targets, name_of

DOCUMENTS = [path for path in files(".md") if path.name != "CHANGELOG.md"]
GENERATED = pages()
WRITTEN_BY_HAND = [path for path in DOCUMENTS if path not in GENERATED]
LINK = re.compile(r"\[[^\]]+\]\(([^)#\s]+)(#[^)\s]*)?\)")
OWN_PROGRAM = re.compile(
    r"(?:\.venv/bin/)?python3? (?:-m )?(server\.py|nova_sonic_local|scripts[./]\w+(?:\.py)?|bench[./]\w+(?:\.py)?)(.*)"
)
CODE = re.compile(r"^```(?:sh|bash|console|shell)\n(.*?)^```|`([^`\n]+)`", re.MULTILINE | re.DOTALL)


def commands(path: Path) -> list[str]:
    """Return the lines of shell blocks and inline code of a document."""
    found = [block or inline for block, inline in CODE.findall(path.read_text(encoding="utf-8"))]
    return [line.strip().removeprefix("$ ") for text in found for line in text.splitlines() if line.strip()]


@cache
def help_of(program: str) -> str:
    """Return what a program of ours says with --help."""
    arguments = [program] if program.endswith(".py") else ["-m", program.replace("/", ".")]
    done = subprocess.run([sys.executable, *arguments, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_the_generated_pages_are_current() -> None:
    assert [name_of(path) for path in stale()] == [], "run `make docs`"


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = {(ROOT / "docs" / target).resolve() for target, _ in LINK.findall(index)}

    assert [name_of(path) for path in (ROOT / "docs").rglob("*.md") if path.name != "README.md" and path not in linked] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_to_files_that_exist(path: Path) -> None:
    targets = [target for target, _ in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in target and "mailto:" not in target]

    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_what_the_log_says_of_a_store_that_did_not_answer_is_described() -> None:
    pages_of_people = "".join(path.read_text(encoding="utf-8") for path in WRITTEN_BY_HAND)
    asked = {name for path in (ROOT / "observers").glob("*.py") for name in re.findall(r'StoreCalls\("(\w+)"', path.read_text("utf-8"))}

    assert asked
    assert [name for name in sorted(asked) if f"`store.away` of `{name}`" not in pages_of_people] == []


def test_documents_named_in_code_exist() -> None:
    named = {
        (name_of(path), document)
        for path in files(".py", ".js", ".mjs", ".html", ".toml", ".yml", ".sh")
        for document in re.findall(r"\bdocs/[\w/-]+\.(?:md|toml)\b", path.read_text(encoding="utf-8"))
    }

    assert sorted((file, document) for file, document in named if not (ROOT / document).exists()) == []


@pytest.mark.req("S4-73")
@pytest.mark.parametrize("path", WRITTEN_BY_HAND, ids=name_of)
def test_make_targets_in_documents_exist(path: Path) -> None:
    named = {target for line in commands(path) for target in re.findall(r"\bmake ([a-z][a-z-]*)", line)}

    assert set() == named - make_targets()


@pytest.mark.req("S4-73")
@pytest.mark.parametrize("path", WRITTEN_BY_HAND, ids=name_of)
def test_programs_and_flags_in_documents_exist(path: Path) -> None:
    unknown = []
    for line in commands(path):
        if match := OWN_PROGRAM.search(line):
            program, rest = match.groups()
            flags = [word.split("=")[0] for word in shlex.split(rest.split("|")[0], comments=True) if word.startswith("--")]
            unknown += [f"{program} {flag}" for flag in flags if flag not in help_of(program)]

    assert unknown == []


@pytest.mark.parametrize("path", WRITTEN_BY_HAND, ids=name_of)
def test_files_named_in_documents_exist(path: Path) -> None:
    folders = "|".join(sorted(folder.name for folder in ROOT.iterdir() if folder.is_dir() and not folder.name.startswith(".")))
    named = {word for line in commands(path) for word in re.findall(rf"(?<![\w/.])((?:{folders})/[\w./-]+\.\w+)", line)}

    assert [name for name in sorted(named) if not (ROOT / name).exists() and not (path.parent / name).exists()] == []
