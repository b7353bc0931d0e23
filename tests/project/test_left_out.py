"""What a test run leaves out is named, and fails a run that must be complete (tests/conftest.py)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import COMPLETE_VARIABLE
from tests.project.tree import ROOT

SAMPLE = """
import pytest
from tests import needs

def test_that_runs() -> None:
    assert True

def test_that_lacks_something() -> None:
    needs.missing("a telescope")

@pytest.mark.container
def test_on_request() -> None:
    raise AssertionError("not asked for")
"""


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    return tmp_path / "test_sample.py"


def run(sample: Path, complete: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-o", "markers=container", *arguments, str(sample)]
    environment = {**os.environ, COMPLETE_VARIABLE: complete}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_run_on_a_persons_machine_passes_and_names_what_it_left_out(sample: Path) -> None:
    done = run(sample, "0")

    assert done.returncode == 0
    assert "1 tests: missing: a telescope" in done.stdout
    assert "1 passed, 1 skipped, 1 deselected" in done.stdout.splitlines()[-1]


def test_a_complete_run_fails_for_what_it_lacks(sample: Path) -> None:
    done = run(sample, "1")

    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout


def test_tests_on_request_run_when_asked_for(sample: Path) -> None:
    done = run(sample, "0", "-m", "container")

    assert done.returncode == 1
    assert "not asked for" in done.stdout


def test_a_file_that_skips_itself_fails_a_complete_run(sample: Path) -> None:
    sample.write_text("import pytest\npytest.importorskip('no_such_module_here')\n\ndef test_it() -> None:\n    assert True\n")
    done = run(sample, "1")

    assert done.returncode != 0
