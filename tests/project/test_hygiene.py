"""Nothing of one machine, no secret and no leftover is in the repository."""

import re
from pathlib import Path

import pytest

from tests.project.tree import ROOT, files, name_of

TEXT = (".py", ".js", ".css", ".html", ".md", ".toml", ".yml", ".yaml", ".txt", ".in", ".sh", ".json", ".jsonl", "")
FORBIDDEN = {
    "a home folder": re.compile(r"(?<![\w.$}])/(home|Users)/[a-z]\w*/|/root/|C:\\Users"),
    "another package index": re.compile(r"--(extra-)?index-url|--find-links|https://(test\.)?pypi\.org/simple|registry\.npmjs\.org"),
    "an AWS key": re.compile(r"\b(AKIA|ASIA)(?!IOSFODNN7EXAMPLE|MADEUP)[A-Z0-9]{16}\b"),
    "a private key": re.compile(r"-----BEGIN ([A-Z]+ )?PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{64}"),
    "a leftover": re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|\bbreakpoint\(\)|^<{7} |^>{7} ", re.MULTILINE),
    "an emoji": re.compile("[\U0001f300-\U0001faff\u2600-\u26ff\u2705\u274c\u2728]"),
}


def texts() -> list[Path]:
    return [path for path in files(*TEXT) if path != Path(__file__)]


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_no_file_holds(kind: str) -> None:
    found = [
        f"{name_of(path)}: {match.group(0)!r}"
        for path in texts()
        if kind != "an emoji" or name_of(path).split("/")[0] != "tests"  # tests try every kind of text
        for match in FORBIDDEN[kind].finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]

    assert found == []


def test_the_licence_is_complete() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")

    assert "Apache License" in text
    assert "9. Accepting Warranty or Additional Liability." in text
    assert "END OF TERMS AND CONDITIONS" in text
