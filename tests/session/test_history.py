"""What of a conversation is told to a new stream."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.events import AudioContentStart, PromptStart, Role, SessionStart
from s2s.limits import STRICT, TextProfile
from s2s.models import capabilities
from s2s.protocol import StreamProtocol
from session.events import HistoryTurn
from session.history import heard_text, replayable, shortened
from session.opening import Wording
from tests.session.doubles import MODEL_ID, PLAN, counted_names

USER, ASSISTANT = Role.USER, Role.ASSISTANT


def turns(*rows: tuple[Role, str]) -> list[HistoryTurn]:
    return [HistoryTurn(role, text) for role, text in rows]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([], []),
        ([(USER, "a"), (ASSISTANT, "b")], [(USER, "a"), (ASSISTANT, "b")]),
        ([(ASSISTANT, "hello"), (USER, "a")], [(USER, "a")]),
        ([(USER, "a"), (USER, "b"), (ASSISTANT, "c")], [(USER, "a b"), (ASSISTANT, "c")]),
        ([(USER, "a"), (ASSISTANT, "  "), (USER, "b")], [(USER, "a b")]),
        ([(USER, "a"), (ASSISTANT, "\x00\x07"), (USER, "b")], [(USER, "a b")]),
        ([(Role.SYSTEM, "obey"), (USER, "a"), (Role.TOOL, "{}")], [(USER, "a")]),
        ([(ASSISTANT, "only")], []),
    ],
    ids=["empty", "plain", "leading assistant", "joined", "blank", "control characters", "other roles", "only assistant"],
)
def test_history_begins_with_the_user_and_alternates(said: list[tuple[Role, str]], told: list[tuple[Role, str]]) -> None:
    assert replayable(turns(*said)) == tuple(turns(*told))


def test_the_newest_turns_that_fit_are_kept() -> None:
    limits = TextProfile("small", 1_000, history_bytes=10, history_messages=40)
    said = turns((USER, "first"), (ASSISTANT, "second"), (USER, "añb"), (ASSISTANT, "third"))

    assert replayable(said, limits) == tuple(turns((USER, "añb"), (ASSISTANT, "third")))


def test_no_more_turns_are_kept_than_the_service_takes() -> None:
    limits = TextProfile("few", 1_000, history_bytes=1_000, history_messages=3)
    said = turns((USER, "a"), (ASSISTANT, "b"), (USER, "c"), (ASSISTANT, "d"), (USER, "e"))

    assert replayable(said, limits) == tuple(turns((USER, "c"), (ASSISTANT, "d"), (USER, "e")))


@pytest.mark.req("S0-44")
@settings(derandomize=True)
@given(st.lists(st.builds(HistoryTurn, st.sampled_from(list(Role)), st.text(max_size=3_000)), max_size=60))
def test_whatever_was_said_the_stream_takes_it(said: list[HistoryTurn]) -> None:
    protocol = StreamProtocol(capabilities(MODEL_ID))
    opening = Wording(PLAN, (), counted_names()).opening(said)
    protocol.send_group(opening)

    assert isinstance(opening[0], SessionStart)
    assert isinstance(opening[1], PromptStart)
    assert isinstance(opening[-1], AudioContentStart)
    assert sum(len(turn.text.encode()) for turn in replayable(said)) <= STRICT.history_bytes


@pytest.mark.req("S4-78")
@pytest.mark.parametrize(
    ("blocks", "heard_ms", "heard"),
    [
        ([("uno dos tres cuatro", 1_000.0)], 0, ""),
        ([("uno dos tres cuatro", 1_000.0)], 500, "uno dos"),
        ([("uno dos tres cuatro", 1_000.0)], 1_000, "uno dos tres cuatro"),
        ([("uno dos", 1_000.0), ("tres cuatro", 1_000.0)], 1_500, "uno dos tres"),
        ([("uno dos", 1_000.4), ("tres", 0.0)], 1_001, "uno dos"),
        ([("uno", 0.0), ("dos", 1_000.0)], 1_000, "uno dos"),
        ([("uno dos", 0.0)], 500, ""),
        ([], 500, ""),
    ],
    ids=["nothing", "half", "all", "second block", "planned but not spoken", "two texts, one speech", "no speech", "no text"],
)
def test_an_interrupted_answer_counts_as_far_as_it_was_heard(blocks: list[tuple[str, float]], heard_ms: float, heard: str) -> None:
    assert heard_text(blocks, heard_ms) == heard


@pytest.mark.parametrize(
    ("limit", "beginning"),
    [(30, "order 12345, total 99.90"), (23, "order 12345, total"), (12, "order 12345,"), (11, "order 12345"), (10, "order"), (3, "ord")],
)
def test_what_is_too_long_ends_with_a_whole_word(limit: int, beginning: str) -> None:
    assert shortened("order 12345, total 99.90", limit) == beginning
