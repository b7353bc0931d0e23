"""A session takes what a cascade says as it takes Nova Sonic's events: turns, speech, tools and interruptions come out the same."""

from collections.abc import Sequence

from s2s.events import OutputEvent, Role
from session.events import (
    HistoryTurn,
    Interrupted,
    SessionEvent,
    SpeechEnded,
    SpeechStarted,
    ToolStarted,
    TranscriptUpdated,
    UserSpeechEnded,
    UserSpeechStarted,
)
from tests.cascade.talk import Talk
from tests.session.doubles import Conversation

TOLD = (Interrupted, SpeechEnded, SpeechStarted, ToolStarted, TranscriptUpdated, UserSpeechEnded, UserSpeechStarted)


def in_short(events: Sequence[SessionEvent]) -> list[str]:
    lines = []
    for event in events:
        if isinstance(event, TranscriptUpdated):
            lines.append(f"{event.turn} {event.role.lower()} {event.stage.lower()}: {event.text}")
        elif isinstance(event, TOLD):
            lines.append(f"{event.turn} {type(event).__name__}")
    return lines


class Both:
    """A cascade and the session that it carries, at one time."""

    def __init__(self) -> None:
        self.talk, self.conversation = Talk(now=0.0), Conversation()
        self._given = 0

    def session(self) -> list[str]:
        """Give the session what the cascade has said since; return what it tells."""
        events: list[OutputEvent] = self.talk.events()[self._given :]
        self._given += len(events)
        return in_short(self.conversation.says(*events))

    def passes(self, seconds: float) -> None:
        """Let the time pass for both, with somebody who listens."""
        self.talk.waits(seconds)
        self.conversation.listen(seconds)


def test_a_turn_with_a_tool_is_the_same_to_the_session() -> None:
    both = Both()
    talk = both.talk
    talk.says("Where is my order?")
    talk.writes("One moment, please. ")
    talk.calls("use-1")
    talk.ends()
    talk.speaks(1.0)
    before = both.session()
    talk.answers("use-1")
    talk.writes("It is on its way. ")
    talk.ends()
    talk.speaks(1.0)
    both.passes(0.0)
    after = both.session()
    both.passes(4.0)

    assert before == [
        "1 UserSpeechStarted",
        "1 UserSpeechEnded",
        "1 user final: Where is my order?",
        "2 assistant speculative: One moment, please.",
        "2 SpeechStarted",
        "2 SpeechEnded",
        "2 ToolStarted",
    ]
    assert after[:2] == ["3 assistant speculative: It is on its way.", "3 SpeechStarted"]
    assert after[-1] == "3 SpeechEnded"
    assert both.session() == ["2 assistant final: One moment, please.", "3 assistant final: It is on its way."]


def test_an_interruption_is_the_same_to_the_session_and_leaves_what_was_heard() -> None:
    both = Both()
    talk = both.talk
    talk.says("Tell me a story.")
    talk.writes("Once upon a time there was a king. ")
    talk.ends()
    talk.speaks(4.0)
    both.session()
    both.passes(2.0)
    talk.says("Stop it.")
    lines = both.session()

    assert [line for line in lines if line.endswith("Interrupted")] == ["2 Interrupted"]
    assert lines[-1] == "3 user final: Stop it."
    assert [turn for turn in both.conversation.machine.turns.history() if turn.role is Role.ASSISTANT] == [
        HistoryTurn(Role.ASSISTANT, "Once upon a time")
    ]
