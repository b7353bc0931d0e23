"""Who may connect now: by address and in all, by number and by rate."""

from collections.abc import Sequence

import pytest

from session.client_link import ClientLink
from session.errors import ServerBusy, TooMany
from telemetry.counters import Counters
from transports.admission import Admission
from transports.limits import NO_LIMITS, Limits
from transports.turnstile import REMEMBERED_ADDRESSES


class StandingClock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time


class Rig:
    """An admission with its clock and counters."""

    def __init__(self, limits: Limits) -> None:
        self.clock = StandingClock()
        self.counters = Counters()
        self.admission = Admission(limits, self.counters, self.clock)

    def knocks(self, address: str, times: int) -> int:
        """Return how many were let in before the first refusal."""
        for number in range(times):
            try:
                self.admission.websockets.knock(address)
            except TooMany:
                return number
        return times


def test_without_limits_everybody_is_let_in_and_nothing_is_remembered() -> None:
    rig = Rig(NO_LIMITS)

    assert rig.knocks("203.0.113.7", 10_000) == 10_000
    assert rig.admission.websockets.remembered == 0


@pytest.mark.req("S2-29", "S3-26")
def test_an_address_that_knocks_too_often_is_told_when_to_come_again_and_others_are_let_in() -> None:
    rig = Rig(Limits(handshakes_per_second_per_address=2))

    assert rig.knocks("203.0.113.7", 100) == 10
    with pytest.raises(TooMany) as refused:
        rig.admission.websockets.knock("203.0.113.7")
    assert refused.value.retry_after == 1
    assert rig.knocks("198.51.100.1", 5) == 5
    rig.clock.time = 1.0
    assert rig.knocks("203.0.113.7", 100) == 2
    assert rig.counters.read() == {"handshake_refused.address_rate": 3}


def test_all_addresses_together_have_a_rate_too() -> None:
    rig = Rig(Limits(handshakes_per_second=3))
    let_in = sum(rig.knocks(f"203.0.113.{number}", 1) for number in range(100))

    assert let_in == 15
    assert rig.counters.read() == {"handshake_refused.rate": 85}


def test_what_is_remembered_of_addresses_is_bounded_and_the_latest_are_kept() -> None:
    rig = Rig(Limits(handshakes_per_second_per_address=1))
    rig.knocks("203.0.113.7", 100)
    for number in range(REMEMBERED_ADDRESSES * 2):
        rig.admission.websockets.knock(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        if number % 100 == 0:
            assert rig.knocks("203.0.113.7", 1) == 0

    assert rig.admission.websockets.remembered == REMEMBERED_ADDRESSES


ALICE, BOB, NOBODY = ClientLink(principal="alice", caller="user:alice"), ClientLink(principal="bob", caller="user:bob"), ClientLink()


def claimed(name: str, address: str = "203.0.113.7") -> ClientLink:
    return ClientLink(principal=name, caller=f"address:{address}")


@pytest.mark.req("S2-29")
@pytest.mark.parametrize(
    ("client", "others", "is_allowed"),
    [
        (ALICE, [ALICE], True),
        (ALICE, [ALICE, ALICE], False),
        (ALICE, [BOB, BOB, BOB, BOB], True),
        (ALICE, [claimed("", "203.0.113.7")] * 5, True),
        (claimed("alice"), [claimed("alice", "198.51.100.1")] * 2, False),
        (claimed(""), [claimed("")] * 2, True),
        (claimed(""), [claimed("")] * 3, False),
        (claimed("carol"), [claimed("alice"), claimed("bob"), claimed("dave")], False),
        (claimed("", "198.51.100.1"), [claimed("")] * 5, True),
        (NOBODY, [NOBODY] * 10, True),
    ],
)
def test_a_user_and_an_address_have_so_many_conversations_at_once(
    client: ClientLink, others: Sequence[ClientLink], *, is_allowed: bool
) -> None:
    limits = Limits(sessions_per_user=2, sessions_per_address=3)
    if is_allowed:
        limits.check_sessions(client, others)
        return
    with pytest.raises(TooMany) as refused:
        limits.check_sessions(client, others)
    assert (refused.value.close_code, refused.value.retry_after) == (4429, 5)


def test_without_limits_anybody_has_any_number_of_conversations() -> None:
    NO_LIMITS.check_sessions(ALICE, [ALICE] * 1_000)
    NO_LIMITS.check_sessions(claimed(""), [claimed("")] * 1_000)


@pytest.mark.parametrize("error", [TooMany(), ServerBusy()])
def test_every_refusal_says_when_to_come_again(error: TooMany | ServerBusy) -> None:
    assert error.retry_after == 5
