"""What of a conversation is told to a new stream."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.events import AudioContentStart, InputEvent, PromptStart, Role, SessionStart, TextInput
from s2s.limits import RELAXED, STRICT, TextProfile
from s2s.models import capabilities
from s2s.protocol import StreamProtocol
from session.effects import Begin, StreamOpened, ToolDone
from session.events import HistoryTurn
from session.history import CALL_CHARACTERS, RESULT_CHARACTERS, call_words, heard_text, replayable, shortened
from session.opening import Wording
from tests.session.doubles import MODEL_ID, PLAN, Conversation, Nova, counted_names

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


# Tools


def conversation() -> Conversation:
    """Return a conversation in which the assistant looked something up and spoke about it."""
    talk, nova = Conversation(), Nova()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.says(*nova.hears(), *nova.heard_out(), *nova.user("Is it there?"), *nova.plans("One moment."), *nova.speaks(200))
    talk.says(*nova.calls("tool-1", '{"orderId":"7","dni":"12345678"}'))
    talk.give(ToolDone("tool-1", '{"status":"ready"}', None, 5))
    talk.listen(1.0)
    return talk


def test_a_tool_that_was_spoken_about_is_told_to_the_next_stream_in_the_users_turn() -> None:
    talk = conversation()
    unspoken = talk.machine.turns.history()
    talk.says(*Nova().plans("It is ready."), *Nova().speaks(200))
    told = talk.machine.turns.history()

    assert [(turn.role, turn.text) for turn in unspoken] == [(USER, "Is it there?"), (ASSISTANT, "One moment.")]
    assert [turn.role for turn in told] == [USER, ASSISTANT, USER, ASSISTANT]
    assert "lookUp" in told[2].text
    assert '{"status":"ready"}' in told[2].text
    assert "not to be read aloud" in told[2].text
    assert "orderId 7" in told[2].text
    assert "12345678" not in told[2].text


def test_an_exchange_that_is_refused_takes_its_tools_along() -> None:
    talk = conversation()
    talk.says(*Nova().plans("It is ready."), *Nova().speaks(200))
    talk.machine.turns.refuse_exchange()

    assert talk.machine.turns.history() == ()


@pytest.mark.parametrize(
    ("arguments", "known"),
    [
        ("{}", ""),
        ('{"orderId":"7"}', " with orderId 7"),
        ('{"orderId":7,"customerDni":"1","PIN":"2","accessToken":"3"}', " with orderId 7"),
        ('"{\\"orderId\\":\\"7\\"}"', " with orderId 7"),
        ('{"items":["a","b"]}', ""),
        ("[1,2]", ""),
        ("not JSON", ""),
        ("[" * 5_000, ""),
        ('{"text":"' + "x" * 9_000 + '"}', ""),
    ],
    ids=["none", "plain", "secrets", "twice encoded", "list", "no object", "no JSON", "deep", "huge"],
)
def test_arguments_are_told_without_secrets_and_never_trusted(arguments: str, known: str) -> None:
    assert f"lookUp was called{known} and returned {{}}" in call_words("lookUp", arguments, "{}")


@given(st.text(max_size=20_000), st.text(max_size=20_000))
def test_a_call_takes_little_of_the_history(arguments: str, result: str) -> None:
    assert len(call_words("lookUp", arguments, result)) < CALL_CHARACTERS + RESULT_CHARACTERS + 150


# Limits


def openings(limits: TextProfile, said: list[HistoryTurn]) -> tuple[InputEvent, ...]:
    return Wording(PLAN, (), counted_names(), limits).opening(said)


def told_bytes(opening: tuple[InputEvent, ...]) -> int:
    return sum(len(event.content) for event in opening if isinstance(event, TextInput)) - len(PLAN.prompt)


@pytest.mark.parametrize("limits", [STRICT, RELAXED], ids=["strict", "relaxed"])
def test_history_fills_the_limits_that_were_chosen_and_the_stream_takes_it(limits: TextProfile) -> None:
    said = turns(*((role, "x" * 9_000) for _ in range(20) for role in (USER, ASSISTANT)))
    opening = openings(limits, said)
    StreamProtocol(capabilities(MODEL_ID), limits).send_group(opening)

    assert limits.history_bytes - 20_000 < told_bytes(opening) <= limits.history_bytes


def test_a_history_that_was_refused_is_halved_and_in_the_end_left_out() -> None:
    wording = Wording(PLAN, (), counted_names())
    said = turns(*((role, "x" * 500) for _ in range(20) for role in (USER, ASSISTANT)))
    sizes = [told_bytes(wording.opening(said))]
    while wording.shorten(is_known=False):
        sizes.append(told_bytes(wording.opening(said)))
    wording.accepted()

    assert sizes == [20_000, 10_000, 5_000, 0]
    assert told_bytes(wording.opening(said)) == 20_000


def test_what_the_service_called_too_long_is_never_told_again() -> None:
    wording = Wording(PLAN, (), counted_names())
    said = turns(*((role, "x" * 500) for _ in range(20) for role in (USER, ASSISTANT)))
    wording.opening(said)
    wording.shorten(is_known=True)
    wording.accepted()

    assert told_bytes(wording.opening(said)) == 10_000
