"""Whatever comes in whatever order: every word that was said stands in the record once, and none that nobody heard."""

from collections import Counter, deque
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.events import StopReason
from session.effects import Begin, StreamOpened, ToolDone
from session.errors import SessionError
from session.events import End, Interrupt, SendText, SpeechChunk
from storage.conversation_turns import Speaker
from tests.observers.written import WrittenConversation
from tests.session.doubles import OUTPUT_HERTZ, Nova

WORD_MS = 100
STEPS = st.one_of(
    st.tuples(st.sampled_from(["speaks_to", "types"]), st.integers(1, 4)),
    st.tuples(st.sampled_from(["answers", "answers_in_two"]), st.integers(2, 12)),
    st.tuples(st.sampled_from(["listens"]), st.integers(0, 1_500)),
    st.tuples(st.sampled_from(["confirms", "calls", "returns", "quiet", "barges_in"]), st.just(0)),
)


class Talk:
    """Makes a conversation of unique words, and knows when each was said."""

    def __init__(self) -> None:
        self.talk, self.nova = WrittenConversation(), Nova()
        self.talk.give(Begin())
        self.talk.give(StreamOpened(1))
        self.talk.says(*self.nova.start())
        self._words, self._calls = count(), count()
        self._unconfirmed: deque[str] = deque()
        self._running: deque[str] = deque()
        self.user_words: list[str] = []
        self.spoken: dict[int, list[str]] = {}
        """Words of the assistant's speech by turn, each of WORD_MS."""

    def new_words(self, number: int) -> list[str]:
        return [f"w{next(self._words)}x" for _ in range(number)]

    def do(self, step: str, amount: int) -> None:
        getattr(self, step)(amount)

    def speaks_to(self, number: int) -> None:
        words = self.new_words(number)
        self.talk.says(*self.nova.hears(), *self.nova.heard_out(), *self.nova.user(" ".join(words)))
        self.user_words += words

    def types(self, number: int) -> None:
        words = self.new_words(number)
        self.talk.give(SendText(" ".join(words)))
        self.user_words += words

    def answers(self, number: int) -> None:
        self._sentence(number, StopReason.END_TURN)

    def answers_in_two(self, number: int) -> None:
        self._sentence(number, StopReason.PARTIAL_TURN)
        self._sentence(number, StopReason.END_TURN)

    def _sentence(self, number: int, stop: StopReason) -> None:
        words = self.new_words(number)
        self._unconfirmed.append(" ".join(words))
        told = self.talk.says(*self.nova.plans(" ".join(words)), *self.nova.speaks(number * WORD_MS, stop, pieces=number))
        for event in told:
            if isinstance(event, SpeechChunk):
                self.spoken.setdefault(event.turn, []).append(words.pop(0))

    def confirms(self, _: int) -> None:
        if self._unconfirmed:
            self.talk.says(*self.nova.said(self._unconfirmed.popleft()))

    def confirms_all(self) -> None:
        while self._unconfirmed:
            self.confirms(0)

    def listens(self, ms: int) -> None:
        self.talk.listen(ms / 1_000)

    def quiet(self, _: int) -> None:
        self.talk.give(Interrupt())

    def barges_in(self, _: int) -> None:
        self.talk.says(*self.nova.hears(), *self.nova.marker(), *self.nova.heard_out())

    def calls(self, _: int) -> None:
        if len(self._running) < 4:
            name = f"t{next(self._calls)}"
            self._running.append(name)
            self.talk.says(*self.nova.calls(name, f'{{"call":"{name}"}}'))

    def returns(self, _: int) -> None:
        if self._running:
            name = self._running.popleft()
            self.talk.give(ToolDone(name, f'{{"of":"{name}"}}', None, 1))

    def delivered(self, turn: int) -> float:
        """Return how much of a turn the listener was given, in words."""
        pcm = sum(len(event.pcm) for event in self.talk.heard if isinstance(event, SpeechChunk) and event.turn == turn)
        return pcm / 2 / OUTPUT_HERTZ * 1_000 / WORD_MS

    def cut_turns(self) -> set[int]:
        return {turn.number for turn in self.talk.written.values() if turn.is_interrupted}

    def written(self, speaker: Speaker) -> Iterator[str]:
        for _, turn in sorted(self.talk.written.items()):
            if turn.role is speaker:
                yield from turn.text.split()


def after(steps: list[tuple[str, int]]) -> Talk:
    """Return a talk after these steps, as far as each can be taken."""
    talk = Talk()
    for step, amount in steps:
        try:
            talk.do(step, amount)
        except SessionError:
            continue
    return talk


@given(st.lists(STEPS, max_size=20))
@settings(max_examples=80, deadline=None)
@pytest.mark.req("S1-28")
def test_every_word_that_was_said_is_written_once_and_none_that_nobody_heard(steps: list[tuple[str, int]]) -> None:
    talk = after(steps)
    talk.talk.give(End())
    assistant = list(talk.written(Speaker.ASSISTANT))

    assert list(talk.written(Speaker.USER)) == talk.user_words
    assert not [word for word, times in Counter(assistant).items() if times > 1]
    for turn, words in talk.spoken.items():
        record = talk.talk.written.get(turn)
        kept = record.text.split() if record is not None else []
        # Half a word that was heard is one; beyond that, nothing that never went to the listener.
        assert len(kept) <= talk.delivered(turn) + 0.5
        assert kept == words[: len(kept)]
        if turn not in talk.cut_turns():
            assert kept == words or not kept
    calls = [call for turn in talk.talk.written.values() for call in turn.calls]
    assert sorted(call.tool_use_id for call in calls) == sorted({call.tool_use_id for call in calls})
    assert all(call.result in (None, f'{{"of":"{call.tool_use_id}"}}') for call in calls)


@given(st.lists(STEPS, max_size=20))
@settings(max_examples=60, deadline=None)
@pytest.mark.req("S1-28", "S4-78")
def test_what_is_written_of_past_turns_is_what_the_next_stream_would_be_told(steps: list[tuple[str, int]]) -> None:
    talk = after(steps)
    talk.listens(60_000)
    talk.confirms_all()
    records = talk.talk.machine.turns.records
    told = {record.number: record.text() for record in records if record.role.value in {"USER", "ASSISTANT"} and record.text()}

    assert {number: turn.text for number, turn in sorted(talk.talk.written.items()) if turn.text} == told
