"""The life cycle of a session, as a table."""

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Life cycle of a session."""

    CONNECTING = "connecting"
    ACTIVE = "active"
    DRAINING = "draining"
    CLOSED = "closed"


class Step(StrEnum):
    """What moves a session along."""

    OPENED = "opened"
    DRAIN = "drain"
    STAY = "stay"
    OVER = "over"


LIFE_CYCLE: Mapping[tuple[State, Step], State] = {
    (State.CONNECTING, Step.OPENED): State.ACTIVE,
    (State.CONNECTING, Step.OVER): State.CLOSED,
    (State.ACTIVE, Step.DRAIN): State.DRAINING,
    (State.ACTIVE, Step.OVER): State.CLOSED,
    (State.DRAINING, Step.STAY): State.ACTIVE,
    (State.DRAINING, Step.OVER): State.CLOSED,
}
"""Every pair that moves; any other pair leaves the state as it is."""
