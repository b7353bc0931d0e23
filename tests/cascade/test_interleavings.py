"""Whatever comes in whatever order, the turns keep their rules."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.interfaces import ReplyEnd, TextPiece, ToolCall, Transcript
from cascade.steps import Ask, Hush, Speak, Step
from cascade.turn_taking import TurnTaking
from s2s.events import ContentEnded, ContentStarted, ContentType, ToolUse, UserSpeechEnd, UserSpeechStart
from tests.cascade.talk import OPENING, counted_ids, speech

INPUTS = st.sampled_from(
    ["partial", "final", "empty", "typed", "words", "sentence", "call", "end", "sound", "spoken", "result", "wait", "long wait"]
)


class Play:
    """Gives inputs to the turns, and checks every rule after each."""

    def __init__(self) -> None:
        self.turns = TurnTaking(OPENING, counted_ids())
        self.now, self.stretch, self.uses = 0.0, 1, 0
        self.asked = self.open_block = self.hearing = 0
        self.open_id = ""
        self.speaking = 0
        self.running: list[str] = []

    def do(self, name: str) -> None:
        self.check(self._steps(name))
        self.check(self.turns.tick(self.now))
        deadline = self.turns.deadline

        assert deadline is None or deadline > self.now

    def _steps(self, name: str) -> list[Step]:
        turns, now = self.turns, self.now
        match name:
            case "partial":
                return turns.heard(Transcript(f"r{self.stretch}", "some words", True, 0, 10), now)
            case "final" | "empty":
                self.stretch += 1
                return turns.heard(Transcript(f"r{self.stretch - 1}", "words" if name == "final" else "", False, 0, 10), now)
            case "typed":
                return turns.typed("typed words", now)
            case "words" | "sentence":
                return turns.wrote(self.asked, TextPiece("and so on" if name == "words" else "A whole sentence. "), now)
            case "call":
                self.uses += 1
                return turns.wrote(self.asked, ToolCall(f"u{self.uses}", "lookUp", "{}"), now)
            case "end":
                return turns.wrote(self.asked, ReplyEnd(1, 1), now)
            case "sound":
                return turns.spoke(self.speaking, speech(0.5), now)
            case "spoken":
                return turns.spoken(self.speaking, now)
            case "result" if self.running:
                return turns.tool_answered(self.running.pop(), "{}")
            case _:
                self.now += 0.3 if name == "wait" else 9.0
                return turns.tick(self.now)

    def check(self, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case ContentStarted():
                    assert not self.open_id
                    self.open_id = step.content_id
                case ContentEnded():
                    assert self.open_id == step.content_id
                    self.open_id = ""
                    assert step.type is not ContentType.TOOL or self.running
                case ToolUse():
                    self.running.append(step.tool_use_id)
                case UserSpeechStart():
                    assert not self.hearing
                    self.hearing = 1
                case UserSpeechEnd():
                    assert self.hearing
                    self.hearing = 0
                case Ask():
                    assert not self.running
                    assert not self.hearing
                    assert step.answer == self.asked + 1
                    self.asked = step.answer
                    check_request(step)
                case Speak():
                    assert step.answer == self.asked
                    self.speaking = step.answer
                case Hush() | _:
                    pass


def check_request(ask: Ask) -> None:
    """Check that Converse takes these messages."""
    messages = ask.request.messages
    roles = [message["role"] for message in messages]

    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    owed: list[str] = []
    for message in messages:
        blocks = message["content"]
        assert blocks
        results = [block["toolResult"]["toolUseId"] for block in blocks if "toolResult" in block]
        assert sorted(results) == sorted(owed)
        assert all("toolResult" in block for block in blocks[: len(results)])
        owed = [block["toolUse"]["toolUseId"] for block in blocks if "toolUse" in block]


@settings(max_examples=150, deadline=None)
@given(st.lists(INPUTS, max_size=60))
def test_every_interleaving_keeps_the_rules(names: list[str]) -> None:
    play = Play()
    for name in names:
        play.do(name)
    play.check(play.turns.finish())

    assert play.open_id == ""
