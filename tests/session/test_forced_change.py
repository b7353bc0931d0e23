"""A stream that has to give way in the middle of something: what it says is heard out, and what is said to it is not lost."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from s2s.errors import Remedy
from s2s.events import (
    AudioInput,
    AudioOutput,
    ContentStarted,
    ContentType,
    InputEvent,
    OutputEvent,
    Role,
    Stage,
    StopReason,
    TextContentStart,
    TextInput,
    ToolContentStart,
)
from session.continuation import EXPIRY_SECONDS, FORCE_SECONDS, LAST_SECONDS, LINGER_SECONDS, RENEW_SECONDS
from session.effects import (
    Begin,
    CloseStream,
    Effect,
    Emit,
    ModelEvent,
    OpenStream,
    Route,
    Send,
    StreamFailed,
    StreamOpened,
    Tick,
    ToolDone,
)
from session.events import (
    Interrupt,
    Interrupted,
    ModelOutput,
    SendAudio,
    SendText,
    SessionEvent,
    SpeechChunk,
    SpeechEnded,
    SpeechStarted,
    ToolFinished,
    TranscriptUpdated,
    UserSpeechEnded,
    UserSpeechStarted,
)
from session.life_cycle import State
from session.speaker import Speaker
from tests.session.doubles import Conversation, Nova, ScriptedModel, ScriptedStream
from tests.session.test_runner import Rig


def opened() -> Conversation:
    """Return a conversation in which the user speaks until just before the stream has to go."""
    talk = Conversation()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.now = RENEW_SECONDS - 130.0
    talk.says(*Nova().hears())
    talk.now = FORCE_SECONDS - 0.5
    return talk


def at(talk: Conversation, seconds: float) -> list[Effect]:
    talk.now = seconds
    return talk.give(Tick())


def opening_of(effects: list[Effect]) -> OpenStream:
    (found,) = [effect for effect in effects if isinstance(effect, OpenStream)]
    return found


def routes(effects: list[Effect]) -> list[int | None]:
    return [effect.generation for effect in effects if isinstance(effect, Route)]


def texts(events: tuple[InputEvent, ...]) -> list[str]:
    return [event.content for event in events if isinstance(event, TextInput)]


def forced(talk: Conversation) -> list[Effect]:
    """Change the stream although somebody speaks; return what follows when the next one is accepted."""
    at(talk, FORCE_SECONDS)
    return talk.give(StreamOpened(2))


def speaking() -> tuple[Conversation, Nova]:
    """Return a conversation in which the assistant speaks, just before its stream has to go."""
    talk, nova = opened(), Nova()
    talk.says(*nova.heard_out(), *nova.user("Go on."), *nova.plans("A long answer."), *nova.opens_audio(), *nova.audio(300))
    return talk, nova


def says_to(talk: Conversation, generation: int, *events: OutputEvent) -> list[SessionEvent]:
    effects = [effect for event in events for effect in talk.give(ModelEvent(generation, event))]
    return [effect.event for effect in effects if isinstance(effect, Emit) and not isinstance(effect.event, ModelOutput)]


def speech_of(events: list[SessionEvent]) -> float:
    return sum(len(event.pcm) / 48 for event in events if isinstance(event, SpeechChunk))


def test_an_answer_in_which_its_stream_is_changed_is_heard_to_its_end() -> None:
    talk, nova = speaking()
    switched = forced(talk)
    goes_on = says_to(talk, 1, *nova.audio(400), *nova.closes_audio(), *nova.plans("And more."), *nova.speaks(500))

    assert routes(switched) == [2]
    assert not [effect for effect in switched if isinstance(effect, Emit) and isinstance(effect.event, SpeechEnded)]
    assert speech_of(goes_on) == 900
    assert isinstance(goes_on[-1], SpeechEnded)
    assert talk.machine.turns.speaker is Speaker.LISTENING
    assert says_to(talk, 1, *nova.speaks(500)) == []


def test_the_answer_to_what_was_typed_over_the_rest_of_one_of_the_stream_before_is_heard() -> None:
    talk, _ = speaking()
    forced(talk)
    talk.give(SendText("Stop. What time is it?"))
    other = Nova()

    assert speech_of(says_to(talk, 2, *other.plans("Noon."), *other.speaks(600))) == 600


def test_a_sentence_that_was_about_to_come_when_the_user_stopped_the_stream_before_is_no_turn() -> None:
    talk, nova = speaking()
    forced(talk)
    begins, *rest = nova.plans("And more.")
    says_to(talk, 1, *nova.closes_audio(), begins)
    talk.give(Interrupt())

    assert says_to(talk, 1, *rest, *nova.speaks(500)) == []
    assert talk.machine.turns.speaker is Speaker.LISTENING


@pytest.mark.parametrize("is_marked", [True, False])
def test_the_stream_before_does_not_interrupt_the_answer_of_the_next(*, is_marked: bool) -> None:
    talk, nova = speaking()
    forced(talk)
    other = Nova()
    says_to(talk, 2, *other.user("And now?"), *other.plans("Second answer."), *other.opens_audio(), *other.audio(300))
    late = nova.marker() if is_marked else nova.text(Role.ASSISTANT, Stage.FINAL, "A long answer.", stop=StopReason.INTERRUPTED)

    assert not [event for event in says_to(talk, 1, *late) if isinstance(event, Interrupted)]
    assert speech_of(says_to(talk, 2, *other.audio(300), *other.closes_audio(StopReason.END_TURN))) == 300


def test_an_answer_of_the_old_stream_ends_when_the_next_one_begins_to_speak() -> None:
    talk, old = speaking()
    forced(talk)
    new = Nova()
    begun = says_to(talk, 2, *new.opens_audio(), *new.audio(100))
    stale = says_to(talk, 1, *old.audio(400), *old.closes_audio(StopReason.END_TURN))

    assert [type(event) for event in begun] == [SpeechEnded, SpeechStarted, SpeechChunk]
    assert stale == []
    assert talk.machine.turns.speaker is Speaker.ASSISTANT_SPEAKING


def test_an_interruption_during_the_change_leaves_nothing_of_the_answer_to_be_heard() -> None:
    talk, old = speaking()
    forced(talk)
    says_to(talk, 1, *old.audio(5_000))
    new = Nova()
    interrupted = says_to(talk, 2, *new.hears())
    waiting = talk.playback.waiting_ms
    stale = says_to(talk, 1, *old.audio(400), *old.opens_audio(), *old.audio(400))
    answer = says_to(talk, 2, *new.heard_out(), *new.user("Stop."), *new.plans("Yes."), *new.opens_audio(), *new.audio(100))
    stale += says_to(talk, 1, *old.audio(400))

    assert isinstance(interrupted[0], Interrupted)
    assert waiting == 0
    assert stale == []
    assert speech_of(answer) == 100


@pytest.mark.parametrize("ending", ["time", "death"])
def test_an_answer_of_the_old_stream_that_never_ends_is_ended(ending: str) -> None:
    talk, _ = speaking()
    forced(talk)
    death = StreamFailed(1, "model_lost", Remedy.RESUME)
    effects = talk.give(death) if ending == "death" else at(talk, FORCE_SECONDS + LINGER_SECONDS)

    assert CloseStream(1) in effects
    assert [effect.event for effect in effects if isinstance(effect, Emit) and isinstance(effect.event, SpeechEnded)]
    assert talk.machine.turns.speaker is Speaker.LISTENING
    assert talk.machine.state is State.ACTIVE


def test_a_question_whose_answer_has_not_begun_is_put_to_the_next_stream() -> None:
    talk, nova = opened(), Nova()
    talk.says(*nova.heard_out(), *nova.user("Is it there?"))
    opening = opening_of(at(talk, FORCE_SECONDS)).opening

    assert [event.content for event in opening if isinstance(event, TextInput)][-1] == "Is it there?"
    assert [event.interactive for event in opening if isinstance(event, TextContentStart)][-1]


def test_a_question_that_is_answered_while_the_next_stream_is_opened_is_not_answered_twice() -> None:
    talk, nova = opened(), Nova()
    talk.says(*nova.heard_out(), *nova.user("Is it there?"))
    at(talk, FORCE_SECONDS)
    talk.says(*nova.plans("Yes, it is."), *nova.opens_audio())

    assert talk.give(StreamOpened(2)) == [Route(1), CloseStream(2)]


def test_a_tool_holds_its_stream_until_the_last_chance_and_its_result_is_then_told_in_words() -> None:
    talk, nova = opened(), Nova()
    talk.says(*nova.heard_out(), *nova.user("Is it there?"), *nova.calls("tool-1"))
    waiting = at(talk, LAST_SECONDS - 0.2)
    opening = opening_of(at(talk, LAST_SECONDS)).opening
    talk.give(StreamOpened(2))
    effects = talk.give(ToolDone("tool-1", '{"status":"ready"}', None, 5))
    (note,) = [effect for effect in effects if isinstance(effect, Send)]

    assert not [effect for effect in waiting if isinstance(effect, OpenStream)]
    assert texts(opening)[-1] == "Is it there?"
    assert '{"status":"ready"}' in "".join(texts(note.events))
    assert not [event for event in note.events if isinstance(event, ToolContentStart)]
    assert len([event for event in talk.told if isinstance(event, ToolFinished)]) == 1


def test_a_result_that_comes_while_the_last_chance_is_used_is_told_to_both_streams() -> None:
    talk, nova = opened(), Nova()
    talk.says(*nova.heard_out(), *nova.user("Is it there?"), *nova.calls("tool-1"))
    at(talk, LAST_SECONDS)
    done = talk.give(ToolDone("tool-1", '{"status":"ready"}', None, 5))
    switched = talk.give(StreamOpened(2))
    note = [effect for effect in switched if isinstance(effect, Send)]

    assert [effect.generation for effect in done if isinstance(effect, Send)] == [1]
    assert len(note) == 1
    assert routes(switched) == [2]
    assert '{"status":"ready"}' in "".join(texts(note[0].events))


def test_two_streams_that_die_in_the_middle_of_a_change_do_not_end_the_session() -> None:
    talk, _ = speaking()
    at(talk, FORCE_SECONDS)
    talk.give(StreamFailed(1, "model_lost", Remedy.RESUME))
    effects = talk.give(StreamFailed(2, "model_lost", Remedy.RESUME))

    assert opening_of(effects).generation == 3
    assert routes(talk.give(StreamOpened(3))) == [3]
    assert talk.machine.state is State.ACTIVE


def test_a_next_stream_that_dies_just_after_the_switch_is_replaced_in_the_middle_of_the_old_answer() -> None:
    talk, nova = speaking()
    forced(talk)
    effects = talk.give(StreamFailed(2, "model_lost", Remedy.RESUME))
    talk.give(StreamOpened(3))

    assert opening_of(effects).generation == 3
    assert says_to(talk, 1, *nova.audio(400)) == []
    assert talk.machine.turns.speaker is Speaker.LISTENING


def test_the_user_who_speaks_at_a_change_by_force_speaks_one_turn() -> None:
    talk = opened()
    turn = talk.machine.turns.number
    at(talk, FORCE_SECONDS)
    talk.give(StreamOpened(2))
    said = says_to(talk, 2, *Nova().hears(), *Nova().heard_out(), *Nova().user("As I was saying."))

    assert {event.turn for event in said if isinstance(event, UserSpeechStarted | UserSpeechEnded | TranscriptUpdated)} == {turn}


# With a model that echoes: one block of speech for ever, so that there is no quiet moment


class EchoStream(ScriptedStream):
    """Sends every sample straight back."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._ids = (f"stream-{number}", "prompt", "completion", f"block-{number}")
        self._is_open = False

    async def send(self, events: Sequence[InputEvent]) -> None:
        """Take a group."""
        await super().send(events)
        pieces = [event.pcm for event in events if isinstance(event, AudioInput) and any(event.pcm)]
        if pieces and not self._is_open:
            self._is_open = True
            self.say([ContentStarted(*self._ids, ContentType.AUDIO, Role.ASSISTANT, None, 24_000)])
        self.say(AudioOutput(*self._ids, pcm) for pcm in pieces)


@dataclass
class EchoModel(ScriptedModel):
    """Opens streams that echo, after a while."""

    async def open(self, opening: Sequence[InputEvent]) -> ScriptedStream:
        """Open a stream."""
        self.openings.append(tuple(opening))
        await asyncio.sleep(OPENING_SECONDS)
        stream = EchoStream(len(self.streams))
        stream.signed_until = self.signed_until if not self.streams else None
        self.streams.append(stream)
        return stream


OPENING_SECONDS = 0.3


async def test_an_echo_of_every_sample_comes_back_once_across_a_change_and_late_by_the_opening_alone() -> None:
    rig = Rig(EchoModel())
    rig.model.signed_until = datetime.now(UTC) + timedelta(seconds=EXPIRY_SECONDS / 3 + 2.0)
    await rig.opened()
    said, heard, gaps = bytearray(), bytearray(), []

    async def listen() -> None:
        last = asyncio.get_running_loop().time()
        while (event := await rig.runner.next_event()) is not None:
            if isinstance(event, SpeechChunk):
                now = asyncio.get_running_loop().time()
                gaps.append(now - last)
                heard.extend(event.pcm)
                last = now

    listening = asyncio.create_task(listen())
    for number in range(1, 300):
        piece = number.to_bytes(2, "little") * 480  # 20 ms at the rate at which it is heard
        said += piece
        await rig.runner.submit(SendAudio(piece))
        await asyncio.sleep(0.02)
    await asyncio.sleep(2.0)
    streams = len(rig.model.streams)
    assert rig.task is not None
    rig.task.cancel()
    await asyncio.wait({rig.task, listening})

    assert streams == 2
    assert bytes(heard) == bytes(said)
    assert max(gaps[5:]) <= OPENING_SECONDS + 0.05
