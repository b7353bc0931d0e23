"""What was planned for the next streams, by the admin endpoint or a test."""

from dataclasses import dataclass, replace

MOST_TIMES = 1_000_000


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
    """Holds the plan, and counts it down."""

    def __init__(self) -> None:
        self.plan = NextPlan()

    def take(self) -> NextPlan:
        """Return what a stream that is opened now gets."""
        plan = self.plan
        if plan.times:
            self.plan = replace(plan, times=plan.times - 1) if plan.times > 1 else NextPlan()
        return plan
