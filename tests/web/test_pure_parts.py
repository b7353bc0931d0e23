"""The parts of the page that need no browser, under Node's test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests import needs

FILES = sorted((Path(__file__).parent / "node").glob("*.test.mjs"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".test.mjs"))
def test_the_pages_pure_parts_pass_their_tests_in_node(file: Path) -> None:
    node = shutil.which("node") or needs.missing("Node.js")

    ended = subprocess.run([node, "--test", "--test-reporter=spec", str(file)], capture_output=True, text=True, timeout=100, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "tests 0" not in ended.stdout
