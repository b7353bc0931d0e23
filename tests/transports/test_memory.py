"""A session begins with what is remembered of its client, whatever the client says itself."""

from s2s.events import Role
from session.events import HistoryTurn, Start
from transports.memory import NoMemory, remember

EARLIER = (HistoryTurn(Role.USER, "I am Eva."),)


class Diary:
    """Remembers one user."""

    async def recall(self, assistant: str | None, user_id: str) -> tuple[HistoryTurn, ...]:
        return EARLIER if (assistant, user_id) == ("kind", "eva") else ()


async def test_what_is_remembered_is_added_to_what_the_client_asks_for() -> None:
    start = Start(assistant="kind", language="en")

    assert await remember(start, Diary(), "eva") == Start(assistant="kind", language="en", memory=EARLIER)
    assert await remember(start, Diary(), "ada") is start
    assert await remember(start, NoMemory(), "eva") is start
