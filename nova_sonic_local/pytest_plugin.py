"""Fixtures with which a project tests its own client of the model: `pytest_plugins = ["nova_sonic_local.pytest_plugin"]`.

    @pytest.mark.nova_sonic_local(brain="script", fault="rst@20")
    def test_it_survives_a_reset(nova_sonic_local, monkeypatch):
        for name, value in nova_sonic_local.environment.items():
            monkeypatch.setenv(name, value)
        ...

The emulator runs in a thread of its own, so tests may be synchronous or use any library of coroutines. When a test fails, its report says
which streams there were and how they ended.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Final

import pytest

from nova_sonic_local.background import BackgroundEmulator
from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.options import Head, Options
from nova_sonic_local.parsing import Checks

MARKER: Final = "nova_sonic_local"
SECTION: Final = "Nova Sonic Local"
_CONVERSIONS: Final[Mapping[str, Callable[[str], object]]] = {
    "ca_dir": Path,
    "scenario": Path,
    "scenario_dir": Path,
    "record": Path,
    "replay": Path,
    "signatures": SignatureCheck,
    "checks": Checks,
    "head": Head,
}
"""Options that may be written as text."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the command line."""
    group = parser.getgroup("nova-sonic-local", "Nova Sonic Local")
    group.addoption("--nova-sonic-local-record", metavar="DIR", help="record every stream of the tests into this folder")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", f"{MARKER}(**options): how the emulator of the fixture is set up; see nova_sonic_local/options.py")


@pytest.fixture(scope="session")
def nova_sonic_local_ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the certificate authority of all tests is kept."""
    return tmp_path_factory.mktemp("nova-sonic-local-ca")


@pytest.fixture
def nova_sonic_local_options() -> Mapping[str, object]:
    """Return the options of all tests of a module or folder that defines this fixture anew; a test's marker comes first."""
    return {}


@pytest.fixture
def nova_sonic_local(
    request: pytest.FixtureRequest, nova_sonic_local_ca: Path, nova_sonic_local_options: Mapping[str, object]
) -> Iterator[BackgroundEmulator]:
    """Run an emulator for one test."""
    chosen: dict[str, object] = {"ca_dir": nova_sonic_local_ca, "record": request.config.getoption("--nova-sonic-local-record")}
    chosen |= nova_sonic_local_options
    for marker in reversed(list(request.node.iter_markers(MARKER))):
        if marker.args:
            pytest.fail(f"{MARKER}: options are given by name, as in @pytest.mark.{MARKER}(brain='echo')", pytrace=False)
        chosen |= marker.kwargs
    try:
        emulator = BackgroundEmulator(make_options(chosen))
        emulator.start()
    except (ValueError, OSError) as error:
        pytest.fail(f"{MARKER}: {error}", pytrace=False)
    yield emulator
    emulator.stop()


def make_options(chosen: Mapping[str, object]) -> Options:
    """Return options from their names and values; paths and choices may be text.

    Raises:
        ValueError: there is no such option, or no such choice.
    """
    known = {one.name for one in fields(Options)}
    if unknown := sorted(set(chosen) - known):
        raise ValueError(f"there is no option {unknown[0]!r}; there are {', '.join(sorted(known))}")
    values = {
        name: _CONVERSIONS[name](value) if name in _CONVERSIONS and isinstance(value, str) else value for name, value in chosen.items()
    }
    return Options(**values)  # type: ignore[arg-type]  # the names are checked above, the values are the caller's


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the streams to the report of a test that failed."""
    report = yield
    emulator = getattr(item, "funcargs", {}).get("nova_sonic_local")
    if report.when == "call" and report.failed and isinstance(emulator, BackgroundEmulator):
        lines = "\n".join(map(_line, emulator.streams())) or "no stream was opened"
        report.sections.append((SECTION, lines))
    return report


def _line(stream: Mapping[str, object]) -> str:
    return "stream {id}: brain {brain}, {state}, {seconds} s, in {in}, out {out}, ending {ending}".format_map(stream)
