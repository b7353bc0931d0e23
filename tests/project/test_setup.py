"""scripts/setup.sh finds a Python that runs, says so when there is none, and does nothing twice."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.tree import ROOT

REQUIREMENTS = ("requirements.txt", "requirements-local.txt", "requirements-dev.txt")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a folder with setup.sh and empty requirements."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup.sh", tmp_path / "scripts")
    for name in REQUIREMENTS:
        (tmp_path / name).write_text(f"# {name}\n")
    return tmp_path


def program(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def fake_python(path: Path, version: str) -> Path:
    """Make an interpreter that can be asked who it is, but makes no environments."""
    return program(
        path,
        f"""case $1 in
--version) echo "Python {version}" ;;
-c) exec {sys.executable} -c "import sys; sys.version_info = tuple(map(int, '{version}'.split('.'))); exec(sys.argv[1])" "$2" ;;
*) exit 9 ;;
esac""",
    )


def set_up(checkout: Path, path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run setup.sh with the tools of the system, but no Python except those in path and below the checkout."""
    tools = checkout / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("sh", "dirname", "grep", "rm", "cat", "cmp"):
        found = shutil.which(name)
        assert found
        if not (tools / name).exists():
            (tools / name).symlink_to(found)
    environment = {"PATH": f"{path}:{tools}", "HOME": str(checkout / "home"), **variables}
    return subprocess.run(
        ["sh", str(checkout / "scripts" / "setup.sh"), "run"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def installed_elsewhere() -> bool:
    """Tell whether a Python stands where setup.sh looks whatever PATH says."""
    return any(Path(folder, f"python3.{minor}").exists() for folder in ("/usr/local/bin", "/opt/homebrew/bin") for minor in (12, 13, 14))


def test_without_a_python_one_sentence_tells_what_to_do(checkout: Path) -> None:
    if installed_elsewhere():
        pytest.xfail("this machine has a Python in a place that is always searched")
    done = set_up(checkout, checkout / "empty")

    assert done.returncode == 2
    assert "No Python from 3.12 to 3.14" in done.stderr
    assert "PYTHON=" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_shim_that_fails_and_an_old_python_are_passed_over(checkout: Path) -> None:
    shims = checkout / "shims"
    program(shims / "python3", "echo 'pyenv: python3: command not found' >&2; exit 127")
    fake_python(shims / "python", "3.11.9")
    good = fake_python(checkout / "home" / ".pyenv" / "versions" / "3.13.1" / "bin" / "python3.13", "3.13.1")

    done = set_up(checkout, shims)

    assert f"Python 3.13.1 ({good})" in done.stderr


@pytest.mark.req("S4-16")
def test_a_python_with_all_packages_ready_made_wins_over_a_newer_one(checkout: Path) -> None:
    shims = checkout / "shims"
    fake_python(shims / "python3", "3.14.0")
    fake_python(shims / "python3.12", "3.12.4")

    done = set_up(checkout, shims)

    assert "Making .venv with Python 3.12.4" in done.stderr


def test_a_newer_python_is_taken_when_it_is_all_there_is(checkout: Path) -> None:
    if installed_elsewhere():
        pytest.xfail("this machine has a Python in a place that is always searched")
    shims = checkout / "shims"
    fake_python(shims / "python3", "3.14.0")

    done = set_up(checkout, shims)

    assert "Making .venv with Python 3.14.0" in done.stderr


def test_the_named_python_comes_first(checkout: Path) -> None:
    shims = checkout / "shims"
    fake_python(shims / "python3", "3.12.4")
    named = fake_python(checkout / "named", "3.13.2")

    done = set_up(checkout, shims, PYTHON=str(named))

    assert f"Python 3.13.2 ({named})" in done.stderr


def test_a_second_run_does_nothing(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to(sys.executable)
    text = "".join((checkout / name).read_text() for name in REQUIREMENTS[:2])
    (checkout / ".venv" / "installed-run").write_text(text)
    before = sorted((checkout / ".venv").iterdir())

    done = set_up(checkout, checkout / "empty")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted((checkout / ".venv").iterdir()) == before
