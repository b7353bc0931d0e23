"""Every fault that the emulator knows, at every phase of a stream, on every way: one typed error in time, or the conversation goes on.

The table is outcomes.py; docs/reference/stream-failures.md shows it. Nothing is left out on any way. To save time each way runs on one
event loop only: what depends on the loop is in the rest of the suite, which runs on both.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from nova_sonic_local.certificates import server_context
from nova_sonic_local.faults import Fault, parse_fault
from tests.s2s.contract.cells import SCRIPT, TOLD_SECONDS, Punctuality, Seen, play_cell
from tests.s2s.contract.outcomes import FAULT_OUTCOMES, GOES_ON, AnyOf, FaultOutcomes, Outcome, Phase, Told, expected_outcome, is_slow
from tests.s2s.ways import Way

AT_ONCE = 24
"""Cells that run side by side, when they have something to do: a turn of a conversation and no more."""

type Place = tuple[Phase, FaultOutcomes]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a certificate authority for all emulators, and the script of the tool turn."""
    server_context(tmp_path)
    (tmp_path / "tool.toml").write_text(SCRIPT)
    return tmp_path


def test_every_fault_of_the_emulator_has_a_row() -> None:
    assert {parse_fault(row.fault).fault for row in FAULT_OUTCOMES} == set(Fault)


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_every_fault_has_its_outcome_in_time_on_asyncio_without_tls(folder: Path) -> None:
    assert await complaints(Way.H2C, folder) == []


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_every_fault_has_its_outcome_in_time_on_uvloop_with_tls(folder: Path) -> None:
    assert await complaints(Way.H2, folder) == []


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_every_fault_has_its_outcome_in_time_on_the_common_runtime(folder: Path) -> None:
    assert await complaints(Way.CRT, folder) == []


async def complaints(way: Way, folder: Path) -> list[str]:
    """Play all cells and return what is wrong: first those that are busy, then those that wait for seconds, with nobody in their way."""
    places = [(phase, row) for phase in Phase for row in FAULT_OUTCOMES]
    slow = [(phase, row) for phase, row in places if is_slow(row, phase)]
    found = await _play(way, folder, (place for place in places if place not in slow), AT_ONCE)
    return found + await _play(way, folder, slow, len(slow))


async def _play(way: Way, folder: Path, places: Iterable[Place], at_once: int) -> list[str]:
    seats = asyncio.Semaphore(at_once)
    async with Punctuality() as punctuality:

        async def cell(phase: Phase, row: FaultOutcomes) -> str:
            async with seats:
                late = punctuality.late_seconds
                try:
                    seen = await play_cell(way, phase, row.fault, folder)
                except Exception as error:  # noqa: BLE001  # the finding of this cell, told with those of the others
                    return f"{phase.value}, {row.fault}: {error!r}"
                return complaint(way, phase, row, seen, punctuality.late_seconds - late)

        found = await asyncio.gather(*(cell(phase, row) for phase, row in places))
    return [each for each in found if each]


def complaint(way: Way, phase: Phase, row: FaultOutcomes, seen: Seen, late_seconds: float) -> str:
    """Return what is wrong with a cell; empty when nothing is."""
    expected = expected_outcome(row, phase, is_crt=way is Way.CRT)
    if not (fits_closing(row, seen.outcome) if phase is Phase.CLOSING else fits(expected, seen.outcome)):
        return f"{phase.value}, {row.fault}: {seen.outcome} instead of {expected}"
    is_bounded = isinstance(seen.outcome, Told) or phase is Phase.CLOSING
    if is_bounded and seen.seconds - late_seconds > TOLD_SECONDS:
        return f"{phase.value}, {row.fault}: {seen.outcome} after {seen.seconds:.2f} s"
    return ""


def fits(expected: Outcome, seen: Outcome) -> bool:
    return seen in expected.outcomes if isinstance(expected, AnyOf) else seen == expected


def fits_closing(row: FaultOutcomes, seen: Outcome) -> bool:
    """`close` was quick and raised nothing; who still received was told the end that we asked for, or the fault that was in its place."""
    return seen is GOES_ON or fits(row.later, seen)
