"""A session begins with what is remembered of its client, whatever the client says itself."""

import pytest

from auth.principal import Principal
from s2s.events import Role
from session.events import HistoryTurn, Start
from transports.memory import NoMemory, remember

EARLIER = (HistoryTurn(Role.USER, "I am Eva."),)
EVA = Principal("eva", expires_at=2e9)
START = Start(assistant="kind", language="en")


class Diary:
    """Remembers one user."""

    async def recall(self, assistant: str | None, user_id: str) -> tuple[HistoryTurn, ...]:
        return EARLIER if (assistant, user_id) == ("kind", "eva") else ()


@pytest.mark.req("S0-66")
async def test_what_is_remembered_is_added_to_what_the_client_asks_for() -> None:
    assert await remember(START, Diary(), EVA) == Start(assistant="kind", language="en", memory=EARLIER)
    assert await remember(START, Diary(), Principal("ada", expires_at=2e9)) is START
    assert await remember(START, NoMemory(), EVA) is START


@pytest.mark.req("S0-54")
async def test_nothing_is_remembered_of_somebody_who_only_says_who_they_are() -> None:
    assert await remember(START, Diary(), Principal("eva")) is START


async def test_a_session_with_a_patient_knows_nothing_of_what_was_said_with_another() -> None:
    start = Start(assistant="kind", patient_id="p1")

    assert await remember(start, Diary(), EVA) is start
