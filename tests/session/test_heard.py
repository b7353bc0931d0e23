"""What another stream is told of an answer ends at the word that was heard, however it was cut and whoever tells."""

import pytest

from s2s.events import Role, Stage
from session.effects import Begin, StreamOpened
from session.events import HistoryTurn, Interrupted, ReportPlayback, TranscriptUpdated
from session.queues import LEAD_MS
from tests.session.doubles import Conversation, Nova

ANSWER = "one two three four five six seven eight nine ten"
"""A word for each second of its speech."""
SECONDS = 10


def answering(heard_seconds: float) -> tuple[Conversation, Nova]:
    """Return a conversation in which so much of a burst of ten seconds has been played."""
    talk, nova = Conversation(), Nova()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.says(*nova.start(), *nova.hears(), *nova.heard_out(), *nova.user("Count."), *nova.plans(ANSWER))
    talk.says(*nova.speaks(SECONDS * 1_000, pieces=40))
    talk.listen(heard_seconds)
    return talk, nova


def told_next(talk: Conversation) -> list[tuple[Role, str]]:
    """Return what a new stream would be told."""
    return [(turn.role, turn.text) for turn in talk.machine.turns.history()]


def words(count: int) -> list[tuple[Role, str]]:
    return [(Role.USER, "Count."), *([(Role.ASSISTANT, " ".join(ANSWER.split()[:count]))] if count else [])]


@pytest.mark.req("S4-78")
@pytest.mark.parametrize("seconds", [0, 1, 4, 9])
def test_without_a_report_the_answer_ends_where_the_pacing_clock_is(seconds: int) -> None:
    talk, nova = answering(seconds + 0.02)
    talk.says(*nova.hears())

    assert told_next(talk) == words(seconds)


@pytest.mark.req("S4-78")
def test_the_clients_word_counts_more_than_the_clock() -> None:
    talk, nova = answering(6.0)
    talk.give(ReportPlayback(2, 4_000))
    talk.says(*nova.hears())

    assert [event.heard_ms for event in talk.told if isinstance(event, Interrupted)] == [4_000]
    assert told_next(talk) == words(4)


@pytest.mark.req("S4-78")
def test_what_the_client_says_after_it_threw_the_rest_away_is_the_last_word() -> None:
    talk, nova = answering(6.0)
    talk.give(ReportPlayback(2, 5_500))
    talk.now += 0.5
    talk.says(*nova.hears())
    guessed = told_next(talk)
    talk.now += 0.1
    talk.give(ReportPlayback(2, 5_010))

    assert guessed == words(6)
    assert told_next(talk) == words(5)


def test_a_word_about_an_older_answer_changes_nothing() -> None:
    talk, nova = answering(6.0)
    talk.says(*nova.hears(), *nova.marker(), *nova.heard_out(), *nova.user("Again."), *nova.plans("Eleven."), *nova.speaks(1_000))
    talk.listen(0.5)
    talk.give(ReportPlayback(2, 0))

    assert told_next(talk) == [*words(6), (Role.USER, "Again."), (Role.ASSISTANT, "Eleven.")]


def test_a_client_cannot_have_heard_more_than_it_was_given() -> None:
    talk, nova = answering(2.0)
    talk.says(*nova.hears())
    talk.give(ReportPlayback(2, 1_000_000))

    assert told_next(talk) == words(round(2 + LEAD_MS / 1_000))


@pytest.mark.req("S4-78")
@pytest.mark.parametrize("next_first", [True, False])
def test_the_late_text_of_an_interrupted_answer_neither_lengthens_it_nor_reaches_the_next(*, next_first: bool) -> None:
    talk, nova = answering(3.02)
    talk.says(*nova.hears(), *nova.marker(), *nova.heard_out(), *nova.user("Stop."))
    late, following = nova.said(ANSWER), [*nova.plans("Very well."), *nova.speaks(500), *nova.said("Very well.")]
    for events in (following, late) if next_first else (late, following):
        talk.says(*events)
    talk.listen(2.0)
    finals = [(event.turn, event.text) for event in talk.told if isinstance(event, TranscriptUpdated) and event.stage is Stage.FINAL]

    assert told_next(talk) == [*words(3), (Role.USER, "Stop."), (Role.ASSISTANT, "Very well.")]
    assert (2, ANSWER) in finals
    assert (4, "Very well.") in finals


def test_an_answer_is_heard_on_from_where_the_client_lost_it() -> None:
    talk, nova = answering(0.0)
    talk.playback.hold(talk.now)
    talk.now += 1.0
    talk.playback.release(talk.now)
    talk.listen(4.02)
    talk.says(*nova.hears())

    assert talk.machine.turns.history()[-1] == HistoryTurn(Role.ASSISTANT, "one two three four")
