"""The parts of the page that need no browser, under Node's test runner."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from session.errors import SessionError
from tests import needs

WEB = Path(__file__).parents[2] / "web"
FILES = sorted((Path(__file__).parent / "node").glob("*.test.mjs"))


@pytest.mark.req("S4-75")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".test.mjs"))
def test_the_pages_pure_parts_pass_their_tests_in_node(file: Path) -> None:
    node = shutil.which("node") or needs.missing("Node.js")

    ended = subprocess.run([node, "--test", "--test-reporter=spec", str(file)], capture_output=True, text=True, timeout=100, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "tests 0" not in ended.stdout


def codes(error: type[SessionError]) -> Iterator[str]:
    """Yield the codes that a conversation can be told; the REST API has more of its own."""
    yield error.code
    for narrower in error.__subclasses__():
        if narrower.__module__ == SessionError.__module__:
            yield from codes(narrower)


def test_the_page_has_words_for_every_error_of_the_server() -> None:
    node = shutil.which("node") or needs.missing("Node.js")
    script = (
        f"import({json.dumps((WEB / 'strings.js').as_uri())}).then(({{ STRINGS }}) => console.log(JSON.stringify(Object.keys(STRINGS.en))))"
    )

    printed = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True, timeout=60).stdout

    assert {f"problem.{code}" for code in codes(SessionError)} <= set(json.loads(printed))


def test_the_page_has_no_inline_script_style_or_event_attribute() -> None:
    source = (WEB / "index.html").read_text(encoding="utf-8")

    assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?! type=\"module\" src=)|https?://", source) == []
