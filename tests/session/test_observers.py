"""Observers of one session: they are given its label, hear everything that is said, and can disturb nothing."""

import asyncio
from dataclasses import dataclass, field

from session.events import End, SendAudio, SessionEnded, SessionEvent, SessionStarted, SpeechChunk, Start
from session.label import SessionLabel
from session.registry import SessionRegistry
from tests.session.doubles import PROFILE, LoopClock, Nova, ScriptedModel, ScriptedTools


@dataclass
class Notes:
    """Writes down what it is told."""

    label: SessionLabel
    events: list[SessionEvent] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)
    delivered: list[SpeechChunk] = field(default_factory=list)
    is_broken: bool = False

    def on_event(self, event: SessionEvent) -> None:
        self.events.append(event)
        if self.is_broken:
            raise ValueError

    def on_caller_audio(self, pcm: bytes, now: float) -> None:
        self.heard.append(pcm)
        if self.is_broken:
            raise ValueError

    def on_delivered(self, chunk: SpeechChunk, now: float) -> None:
        self.delivered.append(chunk)
        if self.is_broken:
            raise ValueError


class Desk:
    """Attends every session, or none."""

    def __init__(self, *, attends: bool = True, is_broken: bool = False) -> None:
        self.notes: list[Notes] = []
        self._attends = attends
        self._is_broken = is_broken

    def attend(self, session: SessionLabel) -> Notes | None:
        if not self._attends:
            return None
        self.notes.append(Notes(session, is_broken=self._is_broken))
        return self.notes[-1]


async def conversation(desks: list[Desk], audio_desks: list[Desk]) -> None:
    model, nova = ScriptedModel(), Nova()
    registry = SessionRegistry(
        model=model,
        tools=ScriptedTools(),
        assistants={"carlos": PROFILE},
        default_assistant="carlos",
        observers=(),
        clock=LoopClock(),
        max_sessions=3,
        attendances=desks,
        audio_attendances=audio_desks,
    )
    runner = registry.open(Start())
    runner.client.principal, runner.client.connection_id = "ana", "c1"
    task = registry.launch(runner)
    assert isinstance(await runner.next_event(), SessionStarted)
    await runner.submit(SendAudio(bytes(640)))
    model.streams[-1].say([*nova.start(), *nova.user("Hola"), *nova.speaks(20)])
    while not isinstance(await runner.next_event(), SpeechChunk):
        continue
    await runner.submit(End())
    while await runner.next_event() is not None:
        continue
    await asyncio.wait({task})


async def test_each_is_told_whom_it_listens_to_and_everything_from_the_first_event_to_the_last() -> None:
    desk, audio_desk = Desk(), Desk()
    await conversation([desk], [audio_desk])

    (notes,), (audio,) = desk.notes, audio_desk.notes
    assert (
        notes.label.user_id,
        notes.label.connection_id,
        notes.label.assistant,
        notes.label.language,
        notes.label.input_hertz,
        notes.label.output_hertz,
        notes.label.is_adopted,
    ) == ("ana", "c1", "carlos", "es", 16_000, 24_000, False)
    assert notes.events == audio.events
    assert isinstance(notes.events[0], SessionStarted)
    assert isinstance(notes.events[-1], SessionEnded)


async def test_what_is_said_is_given_to_those_who_want_it_alone() -> None:
    desk, audio_desk = Desk(), Desk()
    await conversation([desk], [audio_desk])

    assert (desk.notes[0].heard, desk.notes[0].delivered) == ([], [])
    assert [bytes(640)] == audio_desk.notes[0].heard
    assert audio_desk.notes[0].delivered


async def test_sessions_that_nobody_attends_go_on_without() -> None:
    desk, audio_desk = Desk(attends=False), Desk(attends=False)
    await conversation([desk], [audio_desk])

    assert (desk.notes, audio_desk.notes) == ([], [])


async def test_one_that_breaks_disturbs_nobody() -> None:
    broken, broken_audio, sound = Desk(is_broken=True), Desk(is_broken=True), Desk()
    await conversation([broken, sound], [broken_audio])

    assert broken.notes[0].events == sound.notes[0].events
    assert [bytes(640)] == broken_audio.notes[0].heard
