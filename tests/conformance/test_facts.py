"""Every believed fact about the stream, asked of the emulator, or of Bedrock when the environment says so.

The facts are in facts.toml, their checks in the folder beside it; docs/reference/conformance.md tells the results.
"""

import pytest

from tests.conformance.checks import limits, order, product, refusals, sdk, shapes, wire
from tests.conformance.facts import CHECKS, FACTS
from tests.conformance.page import AREAS
from tests.conformance.target import Target

MODULES = (limits, order, product, refusals, sdk, shapes, wire)
BY_ID = {fact.id: fact for fact in FACTS}


@pytest.mark.parametrize("fact_id", sorted(CHECKS))
@pytest.mark.timeout(700)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the CRT's, of streams that ended by themselves
async def test_the_fact_holds(fact_id: str, target: Target) -> None:
    differs = BY_ID[fact_id].differs
    if not differs or target.is_remote:
        await CHECKS[fact_id](target)
        return

    with pytest.raises((AssertionError, TimeoutError)):
        await CHECKS[fact_id](target)


def test_every_fact_has_a_check_or_says_why_not() -> None:
    assert [fact.id for fact in FACTS if fact.id not in CHECKS and not fact.unchecked] == []
    assert [fact_id for fact_id in CHECKS if fact_id not in BY_ID] == []


def test_the_facts_are_told_apart() -> None:
    assert len(BY_ID) == len(FACTS)
    assert len({fact.statement for fact in FACTS}) == len(FACTS)
    assert {fact.area for fact in FACTS} == set(AREAS)
