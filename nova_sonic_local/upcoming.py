"""What was planned for the next streams and requests, by the admin endpoint or a test."""

from dataclasses import dataclass, replace
from enum import StrEnum

MOST_TIMES = 1_000_000


class Operation(StrEnum):
    """What a plan can be for."""

    NOVA_SONIC = "nova_sonic"
    """Streams of a Nova Sonic model."""
    CONVERSE = "converse"
    """Both forms of it."""
    TRANSCRIBE = "transcribe"
    POLLY = "polly"


@dataclass(frozen=True, slots=True)
class NextPlan:
    """What the next streams get. A stream's own headers come first."""

    brain: str = ""
    """name[:scenario]; empty for the usual one."""
    fault: str = ""
    """Empty for the usual one, if there is one."""
    times: int = 0
    """For how many streams; 0 is no plan."""

    def as_json(self) -> dict[str, object]:
        """Return the plan by name."""
        return {"brain": self.brain, "fault": self.fault, "times": self.times}


class Upcoming:
    """Holds the plan of each operation, and counts it down."""

    def __init__(self) -> None:
        self._plans: dict[Operation, NextPlan] = {}

    def plan(self, operation: Operation = Operation.NOVA_SONIC) -> NextPlan:
        """Return what the next streams or requests of an operation get."""
        return self._plans.get(operation, NextPlan())

    def set(self, plan: NextPlan, operation: Operation = Operation.NOVA_SONIC) -> None:
        """Plan it, in place of an earlier plan."""
        self._plans[operation] = plan

    def take(self, operation: Operation = Operation.NOVA_SONIC) -> NextPlan:
        """Return what a stream or request that begins now gets."""
        plan = self.plan(operation)
        if plan.times:
            self.set(replace(plan, times=plan.times - 1) if plan.times > 1 else NextPlan(), operation)
        return plan

    def forget(self) -> None:
        """Forget all plans."""
        self._plans.clear()
