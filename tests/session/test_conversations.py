"""Hours of conversation in virtual time, with everything going wrong that can: the session keeps its promises to caller and model.

`make test` plays SOME conversations, `make test-slow` ALL of them on every core. One that breaks a promise is named, and played again
with `python -m tests.session.simulated_call NUMBER`.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import batched
from multiprocessing import get_context

import pytest

from tests.session.simulated_call import Figures, SimulatedCall

SOME = range(80)
ALL = range(10_000)
BATCH = 25
SHOWN = 20
"""Broken promises that are shown in full; more would not be read."""


def play(numbers: Iterable[int]) -> tuple[Figures, list[str]]:
    """Play conversations; return what happened in all of them, and which promises were broken."""
    total, broken = Figures(), []
    for number in numbers:
        try:
            total.add(SimulatedCall(number).run())
        except Exception as error:  # noqa: BLE001  # whatever it is, the conversation is to be named
            notes = " ".join(getattr(error, "__notes__", ()))
            broken.append(f"conversation {number}: {type(error).__name__}: {error} ({notes})")
    return total, broken


def report(total: Figures, broken: list[str]) -> None:
    """Print what happened, and fail if a promise was broken."""
    print(f"\n{total}")  # noqa: T201  # shown by `make test-slow`, and when the test fails
    if broken:
        pytest.fail("\n".join([f"{len(broken)} conversations broke a promise", *broken[:SHOWN]]), pytrace=False)


@pytest.fixture(scope="module")
def some() -> tuple[Figures, list[str]]:
    """What happened in SOME conversations, and which promises were broken."""
    return play(SOME)


@pytest.mark.timeout(300)
def test_some_conversations_of_an_hour_keep_every_promise(some: tuple[Figures, list[str]]) -> None:
    report(*some)


def test_what_can_go_wrong_does_go_wrong_in_some_of_them(some: tuple[Figures, list[str]]) -> None:
    total, _ = some

    assert total.questions > 5_000
    assert min(total.interruptions, total.tools, total.renewals, total.resumptions) > 100
    assert min(total.refused, total.exchanges_refused, total.dropped_ms) > 0
    assert total.ended_early < len(SOME) / 5


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_all_conversations_of_an_hour_keep_every_promise() -> None:
    total, broken = Figures(), []
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:
        for figures, failures in processes.map(play, batched(ALL, BATCH)):
            total.add(figures)
            broken += failures

    report(total, broken)
    assert total.conversations == len(ALL)
