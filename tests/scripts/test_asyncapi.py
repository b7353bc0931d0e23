"""docs/reference/asyncapi.yaml is a valid AsyncAPI document, by AsyncAPI's own parser."""

import json
import subprocess
from pathlib import Path

import pytest

from scripts.asyncapi import PAGE, TABLES
from tests import needs

CHECK = Path(__file__).with_name("check_asyncapi.mjs")
NEWER_VERSION = "asyncapi-latest-version"
"""Advice to write documents of the latest version."""


def diagnosed(document: Path) -> tuple[bool, list[str], list[str]]:
    """Return whether a document can be read, what its parser has to say about it, and its channels."""
    folder = needs.asyncapi_parser()
    command = [str(needs.node()), str(CHECK), str(folder / "node_modules" / "@asyncapi" / "parser" / "cjs" / "index.js"), str(document)]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    return told["isReadable"], [line for line in told["diagnostics"] if not line.startswith(NEWER_VERSION)], told["channels"]


@pytest.mark.req("S4-86")
def test_the_document_is_valid() -> None:
    assert diagnosed(PAGE) == (True, [], [table.key for table in TABLES])


def test_a_message_that_is_nowhere_is_noticed(tmp_path: Path) -> None:
    broken = tmp_path / "asyncapi.yaml"
    broken.write_text(PAGE.read_text(encoding="utf-8").replace("messages/client.hello", "messages/client.hallo"), encoding="utf-8")
    is_readable, diagnostics, _ = diagnosed(broken)

    assert not is_readable
    assert diagnostics
