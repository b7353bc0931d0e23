"""What of the turns of a conversation another stream is told, and what of them is still to be answered."""

from collections.abc import Iterable, Sequence

from s2s.events import Role
from s2s.limits import RELAXED
from session.events import HistoryTurn
from session.history import replayable
from session.turn_record import TurnRecord


def retold(records: Sequence[TurnRecord], *, without: Iterable[TurnRecord] = (), with_results: bool = False) -> tuple[HistoryTurn, ...]:
    """Return the conversation as a new stream can be told it.

    Args:
        records: all turns, in order.
        without: turns that the stream is told in another way.
        with_results: also tell what tools returned that the assistant has said nothing about.
    """
    left_out = {id(record) for record in without}  # two turns may say the same
    told: list[HistoryTurn] = []
    tells_results = with_results
    for record in reversed(records):
        if record.is_refused or id(record) in left_out or not (text := record.text()):
            continue
        if record.role is not Role.TOOL:
            told.append(HistoryTurn(record.role, text))
        elif tells_results:
            told.append(HistoryTurn(Role.USER, text))
        tells_results |= record.role is Role.ASSISTANT
    return replayable(reversed(told), RELAXED)


def unanswered(records: Sequence[TurnRecord], *, after: int = 0) -> list[TurnRecord]:
    """Return what the user said last, later than in the turn `after`, and got no answer to; none when nothing is owed."""
    found: list[TurnRecord] = []
    for record in reversed(records):
        if record.role is Role.ASSISTANT and (record.heard_ms is not None or record.text()):
            break
        if record.role is Role.USER and not record.is_refused and record.number > after and record.text():
            found.insert(0, record)
    return found
