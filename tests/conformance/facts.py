"""The table of believed facts, `facts.toml`, and where the checks of it are registered."""

import tomllib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.conformance.target import Target

FILE = Path(__file__).with_name("facts.toml")


class Certainty(StrEnum):
    """How well something is known."""

    DOCUMENTED = "documented"
    """AWS says so, or an RFC."""
    MEASURED = "measured"
    """We saw it: the SDK's bytes, or how the SDK behaves on loopback."""
    REPORTED = "reported"
    """Somebody wrote in public that the service does so."""
    INFERRED = "inferred"
    """It follows from the others, or is the likeliest of several."""


class Remote(StrEnum):
    """Whether Bedrock can be asked."""

    CHEAP = "cheap"
    """In seconds, for a fraction of a cent."""
    SLOW = "slow"
    """It takes minutes: only with NOVA_SONIC_REMOTE_SLOW=1."""
    NO = "no"
    """It cannot be provoked, or is no matter of the service's."""


@dataclass(frozen=True)
class Fact:
    """One believed fact."""

    id: str
    statement: str
    source: str
    certainty: Certainty
    remote: Remote = Remote.CHEAP
    differs: str = ""
    """Why it does not hold on the emulator."""
    unchecked: str = ""
    """Why the emulator cannot be asked."""

    @property
    def area(self) -> str:
        return self.id.partition(".")[0]

    @property
    def on_the_emulator(self) -> str:
        if self.unchecked:
            return f"not checked: {self.unchecked}"
        return f"no: {self.differs}" if self.differs else "yes"


type Check = Callable[[Target], Awaitable[None]]

CHECKS: dict[str, Check] = {}
"""By id of the fact; the modules of `checks` fill it when they are imported."""


def holds(fact_id: str) -> Callable[[Check], Check]:
    """Register the check of a fact: it returns when the fact holds, and raises AssertionError when it does not."""

    def register(check: Check) -> Check:
        assert fact_id not in CHECKS, f"{fact_id} has two checks"
        CHECKS[fact_id] = check
        return check

    return register


def _fact(area: str, row: dict[str, Any]) -> Fact:
    known = dict(row)
    return Fact(
        id=f"{area}.{known.pop('id')}",
        certainty=Certainty(known.pop("certainty")),
        remote=Remote(known.pop("remote", "cheap")),
        **known,
    )


FACTS: tuple[Fact, ...] = tuple(_fact(area, row) for area, rows in tomllib.loads(FILE.read_text(encoding="utf-8")).items() for row in rows)
