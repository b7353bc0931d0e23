"""Turns: the model's known sequences of events, and what is told of each."""

import pytest

from s2s.events import AudioOutput, ContentEnded, ContentType, OutputEvent, Role, Stage, StopReason, TextOutput, UnknownEvent
from session.effects import Effect, Emit, Flush
from session.events import (
    Interrupted,
    SessionEvent,
    SpeechChunk,
    SpeechEnded,
    SpeechStarted,
    ToolStarted,
    TranscriptUpdated,
    UserSpeechEnded,
    UserSpeechStarted,
)
from session.queues import PlaybackQueue
from session.speaker import TRANSITIONS, Mute, Signal, Speaker
from session.turns import ANSWER_SECONDS, BLOCKS_LIMIT, HUNG_AFTER_TEXT_SECONDS, TurnTracker, is_interrupted_marker
from tests.session.doubles import OUTPUT_HERTZ, Nova, chunk, speech, speech_ms

END_TURN, PARTIAL, INTERRUPTED = StopReason.END_TURN, StopReason.PARTIAL_TURN, StopReason.INTERRUPTED


class Scene:
    """A tracker with a listener: speech that is told is queued, and heard as time passes."""

    def __init__(self, markers: tuple[str, ...] = ("[FINAL]",)) -> None:
        self.nova = Nova()
        self.playback = PlaybackQueue(OUTPUT_HERTZ)
        self.tracker = TurnTracker(self.playback, OUTPUT_HERTZ, markers)
        self.now = 100.0

    def says(self, *events: OutputEvent) -> list[SessionEvent]:
        """Let the model say something; return what is told of it, pieces of speech joined."""
        return self.does([effect for event in events for effect in self.tracker.receive(event, self.now)])

    def does(self, effects: list[Effect]) -> list[SessionEvent]:
        """Perform effects; return the events among them, pieces of speech joined."""
        told: list[SessionEvent] = []
        for effect in effects:
            if isinstance(effect, Flush):
                self.playback.flush(effect.turn, self.now)
            elif isinstance(effect, Emit):
                self.playback.put(effect.event, self.now)
                told.append(effect.event)
        while self.playback.pop(self.now) is not None:
            pass
        return joined(told)

    def passes(self, seconds: float) -> None:
        """Let the listener listen."""
        until = self.now + seconds
        while (ready_at := self.playback.ready_at()) is not None and ready_at <= until:
            self.now = max(self.now, ready_at)
            self.playback.pop(self.now)
        self.now = until

    def history(self) -> list[tuple[Role, str]]:
        """Return what a new stream would be told."""
        return [(turn.role, turn.text) for turn in self.tracker.history()]


def joined(events: list[SessionEvent]) -> list[SessionEvent]:
    told: list[SessionEvent] = []
    for event in events:
        last = told[-1] if told else None
        if isinstance(event, SpeechChunk) and isinstance(last, SpeechChunk) and last.turn == event.turn:
            told[-1] = SpeechChunk(last.turn, last.pcm + event.pcm)
        else:
            told.append(SpeechChunk(event.turn, event.pcm) if isinstance(event, SpeechChunk) else event)
    return told


def user(turn: int, text: str) -> TranscriptUpdated:
    return TranscriptUpdated(turn, Role.USER, Stage.FINAL, text)


def plan(turn: int, text: str) -> TranscriptUpdated:
    return TranscriptUpdated(turn, Role.ASSISTANT, Stage.SPECULATIVE, text)


def final(turn: int, text: str) -> TranscriptUpdated:
    return TranscriptUpdated(turn, Role.ASSISTANT, Stage.FINAL, text)


def started(turn: int) -> SpeechStarted:
    return SpeechStarted(turn, OUTPUT_HERTZ)


def asked(scene: Scene) -> list[SessionEvent]:
    """Let the user ask something, which opens turn 1."""
    nova = scene.nova
    return scene.says(*nova.start(), *nova.hears(), *nova.heard_out(), *nova.user("¿Está mi pedido?"))


def answering(seconds: float = 10.0, *, is_over: bool) -> Scene:
    """Return a scene in which turn 2 has been received, and its end too if it is over."""
    scene = Scene()
    asked(scene)
    nova = scene.nova
    scene.says(*nova.plans("Uno dos tres cuatro cinco."), *nova.opens_audio(), *nova.audio(seconds * 1_000))
    if is_over:
        scene.says(*nova.closes_audio(END_TURN))
    return scene


# The sequences of the protocol


@pytest.mark.req("S4-43")
def test_a_turn_of_the_user_and_its_answer() -> None:
    scene = Scene()
    nova = scene.nova
    told = scene.says(
        *nova.hears(),
        *nova.start(),
        *nova.heard_out(),
        *nova.user("¿Está mi pedido?"),
        *nova.plans("Sí, está."),
        *nova.speaks(1_400),
        *nova.said("Sí, está."),
        *nova.end(),
    )

    assert told == [
        UserSpeechStarted(1),
        UserSpeechEnded(1),
        user(1, "¿Está mi pedido?"),
        plan(2, "Sí, está."),
        started(2),
        chunk(2, 1_400),
        SpeechEnded(2),
        final(2, "Sí, está."),
    ]
    assert scene.history() == [(Role.USER, "¿Está mi pedido?"), (Role.ASSISTANT, "Sí, está.")]
    assert scene.tracker.speaker is Speaker.LISTENING


def test_a_long_answer_is_one_turn() -> None:
    scene = Scene()
    asked(scene)
    nova = scene.nova
    told = scene.says(
        *nova.plans("Uno."),
        *nova.speaks(500, PARTIAL),
        *nova.plans("Dos."),
        *nova.speaks(500, PARTIAL),
        *nova.plans("Tres."),
        *nova.speaks(500, END_TURN),
        *nova.said("Uno."),
        *nova.said("Dos."),
        *nova.said("Tres."),
    )

    assert told == [
        plan(2, "Uno."),
        started(2),
        chunk(2, 500),
        plan(2, "Dos."),
        chunk(2, 500),
        plan(2, "Tres."),
        chunk(2, 500),
        SpeechEnded(2),
        final(2, "Uno."),
        final(2, "Dos."),
        final(2, "Tres."),
    ]


def test_a_tool_ends_the_speech_before_it_and_the_answer_is_the_next_turn() -> None:
    scene = Scene()
    asked(scene)
    nova = scene.nova
    told = scene.says(*nova.plans("Un momento."), *nova.speaks(300, PARTIAL), *nova.calls("tool-1", '{"id":1}'))

    assert told == [
        plan(2, "Un momento."),
        started(2),
        chunk(2, 300),
        SpeechEnded(2),
        ToolStarted(2, "tool-1", "lookUp", '{"id":1}'),
    ]
    assert scene.tracker.speaker is Speaker.TOOL_RUNNING
    scene.tracker.tools_answered(scene.now)
    assert scene.says(*nova.plans("Está en camino."), *nova.speaks(300)) == [
        plan(3, "Está en camino."),
        started(3),
        chunk(3, 300),
        SpeechEnded(3),
    ]


def test_speech_without_a_planned_text_is_heard_all_the_same() -> None:
    scene = Scene()

    assert scene.says(*scene.nova.speaks(100), *scene.nova.said("Hola.")) == [started(1), chunk(1, 100), SpeechEnded(1), final(1, "Hola.")]
    assert scene.tracker.number == 1


@pytest.mark.parametrize(("filler", "answer"), [(False, 2), (True, 3)], ids=["silent", "with a filler sentence"])
def test_tools_in_parallel_belong_to_one_turn(*, filler: bool, answer: int) -> None:
    scene = Scene()
    asked(scene)
    nova = scene.nova
    if filler:
        scene.says(*nova.plans("Un momento."), *nova.speaks(300, PARTIAL))
    told = scene.says(*nova.calls("tool-1"), *nova.calls("tool-2"), *nova.calls("tool-3"))
    tools = [event for event in told if isinstance(event, ToolStarted)]

    assert [(tool.turn, tool.tool_use_id) for tool in tools] == [(2, "tool-1"), (2, "tool-2"), (2, "tool-3")]
    assert scene.says(*nova.plans("Listo.")) == [plan(answer, "Listo.")]


def test_while_a_tool_runs_the_user_can_ask_on_and_the_answer_comes_after_the_question() -> None:
    scene = Scene()
    asked(scene)
    nova = scene.nova
    scene.says(*nova.calls("tool-1"))
    told = scene.says(*nova.hears(), *nova.heard_out(), *nova.user("¿Y el otro?"), *nova.plans("También."), *nova.speaks(100))

    assert told == [
        UserSpeechStarted(3),
        UserSpeechEnded(3),
        user(3, "¿Y el otro?"),
        plan(4, "También."),
        started(4),
        chunk(4, 100),
        SpeechEnded(4),
    ]


def test_pieces_of_what_the_user_said_are_one_turn_until_the_answer() -> None:
    scene = Scene()
    nova = scene.nova
    told = scene.says(*nova.user("Quiero"), *nova.hears(), *nova.heard_out(), *nova.user("mi pedido"), *nova.plans("Sí."))

    assert told == [user(1, "Quiero"), UserSpeechStarted(1), UserSpeechEnded(1), user(1, "mi pedido"), plan(2, "Sí.")]
    assert scene.history() == [(Role.USER, "Quiero mi pedido"), (Role.ASSISTANT, "Sí.")]


# Interruption


@pytest.mark.parametrize("is_over", [False, True], ids=["during the answer", "after END_TURN"])
def test_the_user_interrupts_what_is_still_to_be_heard(*, is_over: bool) -> None:
    scene = answering(is_over=is_over)
    scene.passes(2.0)
    told = scene.says(*scene.nova.hears())

    assert told == [Interrupted(2, 2_000), UserSpeechStarted(3)]
    assert scene.playback.waiting_ms == 0
    assert scene.tracker.speaker is Speaker.USER_SPEAKING
    assert scene.history()[-1] == (Role.ASSISTANT, "Uno")


@pytest.mark.parametrize("is_over", [False, True], ids=["during the answer", "after END_TURN"])
def test_the_marker_interrupts_even_if_our_clock_believes_that_all_was_heard(*, is_over: bool) -> None:
    scene = answering(1.0, is_over=is_over)
    scene.passes(5.0)
    told = scene.says(*scene.nova.marker())

    assert told == [Interrupted(2, 1_000)]


def test_an_interruption_that_is_told_three_ways_happens_once() -> None:
    scene = answering(is_over=False)
    scene.passes(1.0)
    nova = scene.nova
    told = scene.says(*nova.hears(), *nova.closes_audio(INTERRUPTED), *nova.marker(), *nova.marker(), *nova.heard_out(), *nova.user("No."))

    assert told == [Interrupted(2, 1_000), UserSpeechStarted(3), UserSpeechEnded(3), user(3, "No.")]
    assert scene.tracker.interruptions == 1


@pytest.mark.parametrize("stop", [END_TURN, INTERRUPTED])
def test_speech_of_the_interrupted_block_is_dropped_until_the_next_block(stop: StopReason) -> None:
    scene = answering(is_over=False)
    nova = scene.nova
    scene.says(*nova.hears())

    assert scene.says(*nova.audio(500), *nova.closes_audio(stop), *nova.marker(), *nova.audio(500)) == []
    assert scene.says(*nova.heard_out(), *nova.user("No."), *nova.plans("Bueno."), *nova.speaks(100)) == [
        UserSpeechEnded(3),
        user(3, "No."),
        plan(4, "Bueno."),
        started(4),
        chunk(4, 100),
        SpeechEnded(4),
    ]


def test_an_interruption_between_two_blocks_leaves_nothing_muted() -> None:
    scene = Scene()
    asked(scene)
    nova = scene.nova
    scene.says(*nova.plans("Uno."), *nova.speaks(5_000, PARTIAL), *nova.hears())

    assert scene.says(*nova.heard_out(), *nova.user("No."), *nova.plans("Bueno."), *nova.speaks(100))[-2:] == [
        chunk(4, 100),
        SpeechEnded(4),
    ]


def test_a_remainder_of_the_interrupted_answer_does_not_end_the_users_turn() -> None:
    scene = answering(is_over=False)
    nova = scene.nova
    told = scene.says(*nova.hears(), *nova.plans("Resto."), *nova.marker(), *nova.heard_out(), *nova.user("No."))

    assert told == [Interrupted(2, 0), UserSpeechStarted(3), plan(4, "Resto."), Interrupted(4, 0), UserSpeechEnded(3), user(3, "No.")]
    assert scene.history() == [(Role.USER, "¿Está mi pedido? No.")]


def test_nothing_is_interrupted_when_everything_was_heard() -> None:
    scene = answering(1.0, is_over=True)
    scene.passes(1.5)

    assert scene.says(*scene.nova.hears()) == [UserSpeechStarted(3)]
    assert scene.tracker.interrupt(scene.now) == []


def test_nothing_is_interrupted_before_anything_was_said() -> None:
    scene = Scene()

    assert scene.tracker.interrupt(0.0) == []
    assert scene.says(*scene.nova.marker()) == []


def test_the_reported_position_is_what_was_heard() -> None:
    scene = answering(is_over=True)
    scene.passes(3.0)
    scene.playback.report(2, 2_600, scene.now)

    assert scene.says(*scene.nova.hears())[0] == Interrupted(2, 2_600)


# Quiet without a word


def test_quiet_lasts_until_the_model_ends_its_turn() -> None:
    scene = answering(is_over=False)
    nova = scene.nova
    told = scene.does(scene.tracker.interrupt(scene.now))

    assert told == [Interrupted(2, 0)]
    rest = [*nova.audio(100), *nova.closes_audio(PARTIAL), *nova.plans("Seis siete."), *nova.speaks(900, END_TURN)]
    assert scene.says(*rest) == []
    assert scene.says(*nova.plans("¿Hola?"), *nova.speaks(100)) == [plan(3, "¿Hola?"), started(3), chunk(3, 100), SpeechEnded(3)]


def test_what_was_planned_but_kept_quiet_was_never_said() -> None:
    scene = answering(is_over=False)
    nova = scene.nova
    scene.passes(10.0)
    scene.does(scene.tracker.interrupt(scene.now))
    scene.says(*nova.closes_audio(PARTIAL), *nova.plans("Seis siete."), *nova.speaks(900, END_TURN))
    told = scene.says(*nova.plans("¿Hola?"), *nova.speaks(100), *nova.said("Uno dos tres cuatro cinco."), *nova.said("Seis siete."))

    assert told[-2:] == [final(2, "Uno dos tres cuatro cinco."), final(2, "Seis siete.")]
    assert [text for role, text in scene.history() if role is Role.ASSISTANT] == ["Uno dos tres cuatro cinco. ¿Hola?"]


@pytest.mark.parametrize("by", ["user's text", "marker", "end of turn", "tool"])
def test_quiet_never_leaves_the_session_deaf(by: str) -> None:
    scene = answering(is_over=False)
    nova = scene.nova
    scene.does(scene.tracker.interrupt(scene.now))
    ways = {
        "user's text": nova.user("Otra cosa."),
        "marker": nova.marker(),
        "end of turn": nova.closes_audio(END_TURN),
        "tool": nova.calls("tool-1"),
    }
    scene.says(*ways[by])

    assert any(isinstance(event, SpeechChunk) for event in scene.says(*nova.plans("Sí."), *nova.speaks(100)))


def test_quiet_while_only_a_tool_runs_does_not_silence_its_answer() -> None:
    scene = Scene()
    asked(scene)
    nova = scene.nova
    scene.says(*nova.calls("tool-1"))

    assert scene.tracker.interrupt(scene.now) == []
    assert chunk(2, 100) in scene.says(*nova.plans("Está en camino."), *nova.speaks(100))


def test_quiet_about_what_is_planned_begins_before_the_first_sound() -> None:
    scene = Scene()
    asked(scene)
    nova = scene.nova
    scene.says(*nova.plans("Uno."))

    assert scene.does(scene.tracker.interrupt(scene.now)) == [Interrupted(2, 0)]
    assert scene.says(*nova.speaks(100)) == []
    assert scene.says(*nova.plans("Dos."), *nova.speaks(100))[-1] == SpeechEnded(3)


# Typed turns


def test_a_typed_turn_is_told_at_once_and_its_echo_is_not() -> None:
    scene = Scene()
    nova = scene.nova

    assert scene.does(scene.tracker.user_typed("¿Está mi pedido?", scene.now)) == [user(1, "¿Está mi pedido?")]
    assert scene.says(*nova.user("está mi pedido"), *nova.plans("Sí."), *nova.speaks(100))[0] == plan(2, "Sí.")
    assert scene.history()[0] == (Role.USER, "¿Está mi pedido?")


def test_two_typed_turns_have_two_echoes() -> None:
    scene = Scene()
    scene.tracker.user_typed("uno", scene.now)
    scene.tracker.user_typed("dos", scene.now)

    assert scene.says(*scene.nova.user("uno"), *scene.nova.user("dos")) == []
    assert scene.says(*scene.nova.user("dos")) == [user(2, "dos")]


def test_what_was_typed_before_the_answer_is_no_echo_after_it() -> None:
    scene = Scene()
    scene.tracker.user_typed("sí", scene.now)
    scene.says(*scene.nova.plans("Bien."), *scene.nova.speaks(100))

    assert scene.says(*scene.nova.user("Sí")) == [user(3, "Sí")]


def test_what_is_typed_while_a_tool_runs_is_answered_after_it() -> None:
    scene = Scene()
    asked(scene)
    scene.says(*scene.nova.calls("tool-1"))
    scene.does(scene.tracker.user_typed("¿Y el otro?", scene.now))

    assert scene.says(*scene.nova.plans("También.")) == [plan(4, "También.")]
    assert scene.history()[-1] == (Role.ASSISTANT, "También.")


@pytest.mark.parametrize("way", ["speech", "text", "typed"])
def test_an_answer_is_due_until_it_begins_or_does_not_come(way: str) -> None:
    scene = Scene()
    nova = scene.nova
    if way == "typed":
        scene.tracker.user_typed("Hola.", scene.now)
    else:
        scene.says(*nova.hears(), *nova.heard_out(), *(nova.user("Hola.") if way == "text" else []))

    assert scene.tracker.awaits_answer(scene.now)
    assert not scene.tracker.awaits_answer(scene.now + (HUNG_AFTER_TEXT_SECONDS if way == "typed" else ANSWER_SECONDS))
    scene.says(*nova.plans("Buenas."))
    assert scene.tracker.awaits_answer(scene.now)
    scene.says(*nova.opens_audio())
    assert not scene.tracker.awaits_answer(scene.now)


def test_a_tool_that_is_called_after_a_typed_turn_belongs_to_the_answer_to_it() -> None:
    scene = Scene()
    asked(scene)
    scene.says(*scene.nova.calls("tool-1"))
    scene.does(scene.tracker.user_typed("¿Y el otro?", scene.now))

    assert scene.says(*scene.nova.calls("tool-2")) == [ToolStarted(4, "tool-2", "lookUp", "{}")]
    assert scene.tracker.tool_turn == 4


# Texts


def test_a_late_final_text_reaches_the_turn_that_planned_it() -> None:
    scene = answering(1.0, is_over=True)
    nova = scene.nova
    scene.says(*nova.user("Otra cosa."), *nova.plans("Seis siete."), *nova.speaks(100))

    assert scene.says(*nova.said("Uno dos tres cuatro cinco.")) == [final(2, "Uno dos tres cuatro cinco.")]
    assert scene.says(*nova.said("Seis siete.")) == [final(4, "Seis siete.")]


def test_final_texts_sentence_by_sentence_reach_their_turn() -> None:
    scene = Scene()
    asked(scene)
    nova = scene.nova
    scene.says(*nova.plans("Uno. Dos."), *nova.speaks(100, PARTIAL), *nova.plans("Tres. Cuatro."), *nova.speaks(100))
    scene.says(*nova.user("¿Y?"), *nova.plans("Cinco."), *nova.speaks(100))
    told = scene.says(*(event for text in ("Uno.", "Dos.", "Tres.", "Cuatro.", "Cinco.") for event in nova.said(text)))

    assert told == [final(2, "Uno."), final(2, "Dos."), final(2, "Tres."), final(2, "Cuatro."), final(4, "Cinco.")]


def test_a_final_text_cut_by_an_interruption_does_not_take_the_place_of_the_next() -> None:
    scene = answering(is_over=False)
    nova = scene.nova
    scene.passes(2.0)
    scene.says(*nova.hears(), *nova.marker(), *nova.said("Uno dos"), *nova.user("No."), *nova.plans("Bueno, seis."), *nova.speaks(100))

    assert scene.says(*nova.said("Bueno, seis.")) == [final(4, "Bueno, seis.")]


def test_a_final_text_in_other_words_goes_to_the_oldest_turn_that_waits() -> None:
    scene = answering(1.0, is_over=True)

    assert scene.says(*scene.nova.said("1 2 3")) == [final(2, "1 2 3")]
    assert scene.says(*scene.nova.said("y más")) == [final(2, "y más")]


def test_a_final_text_without_any_plan_is_a_turn_of_its_own() -> None:
    scene = Scene()

    assert scene.says(*scene.nova.said("Hola.")) == [final(1, "Hola.")]


@pytest.mark.req("S4-58")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Hola. [FINAL]", "Hola."),
        ("Hola. [final]", "Hola."),
        ("[FINAL] Hola.", "Hola."),
        ("Hola. [FINAL] ¿Algo más?", "Hola. ¿Algo más?"),
        ("Hola.\n[FINAL]\n[FINAL]", "Hola."),
        ("La FINAL es hoy.", "La FINAL es hoy."),
    ],
)
def test_hidden_markers_reach_no_transcript(text: str, shown: str) -> None:
    scene = Scene()
    nova = scene.nova

    assert scene.says(*nova.plans(text), *nova.said(text), *nova.user(text)) == [plan(1, shown), final(1, shown), user(2, shown)]
    assert "[FINAL]" not in str(scene.history()).upper()


@pytest.mark.req("S4-58")
def test_a_text_that_is_nothing_but_a_marker_does_not_exist() -> None:
    scene = Scene()
    nova = scene.nova

    assert scene.says(*nova.plans("[FINAL]"), *nova.said(" [FINAL] "), *nova.user("[FINAL]")) == []
    assert scene.history() == []


@pytest.mark.req("S4-58")
def test_events_for_others_lose_the_marker_and_nothing_else() -> None:
    scene = Scene()
    with_marker = TextOutput("s", "p", "c", "x", Role.ASSISTANT, "Hola. [FINAL]")
    without = TextOutput("s", "p", "c", "x", Role.ASSISTANT, "Hola.")

    assert scene.tracker.visible(with_marker) == without
    assert scene.tracker.visible(without) is without


def test_without_hidden_markers_nothing_is_hidden() -> None:
    scene = Scene(markers=())

    assert scene.says(*scene.nova.plans("Hola. [FINAL]")) == [plan(1, "Hola. [FINAL]")]


@pytest.mark.parametrize(
    ("text", "is_marker"),
    [
        ('{ "interrupted" : true }', True),
        ('{"interrupted":true}', True),
        (' {"interrupted": true} ', True),
        ('{"interrupted": false}', False),
        ('{"interrupted": true, "x": 1}', False),
        ("{interrupted}", False),
        ("interrupted", False),
        ("", False),
    ],
)
def test_the_interrupted_marker_is_read_as_json(text: str, is_marker: bool) -> None:  # noqa: FBT001 - a column of the table
    assert is_interrupted_marker(text) is is_marker


def test_the_role_of_the_block_counts_and_that_of_the_text_if_there_is_none() -> None:
    scene = Scene()
    orphan = TextOutput("s", "p", "c", "unknown block", Role.USER, "Hola.")

    assert scene.says(orphan) == [user(1, "Hola.")]
    assert scene.says(*scene.nova.text(Role.ASSISTANT, Stage.SPECULATIVE, "Buenas.", text_role=Role.USER)) == [plan(2, "Buenas.")]
    assert scene.says(*scene.nova.text(Role.TOOL, Stage.FINAL, "{}")) == []


# What is out of order


def test_speech_without_a_block_or_without_sound_is_nothing() -> None:
    scene = Scene()
    nova = scene.nova

    assert scene.says(AudioOutput("s", "p", "c", "x", speech(20))) == []
    assert scene.says(*nova.opens_audio(), *nova.audio(0)) == [started(1)]


def test_the_end_of_a_block_that_never_began_is_nothing() -> None:
    scene = Scene()

    assert scene.says(ContentEnded("s", "p", "c", "x", ContentType.AUDIO, END_TURN)) == []
    assert scene.says(ContentEnded("s", "p", "c", "x", ContentType.TEXT, INTERRUPTED)) == []
    assert scene.says(UnknownEvent("novelty", "{}")) == []
    assert scene.says(*scene.nova.heard_out()) == []


def test_blocks_that_are_never_closed_do_not_pile_up() -> None:
    scene = Scene()
    for _ in range(BLOCKS_LIMIT * 3):
        scene.says(*scene.nova.opens_audio())

    assert len(scene.tracker._blocks) == BLOCKS_LIMIT


def test_the_history_of_an_answer_that_never_got_its_final_text_is_what_was_planned() -> None:
    scene = answering(1.0, is_over=True)

    assert scene.history() == [(Role.USER, "¿Está mi pedido?"), (Role.ASSISTANT, "Uno dos tres cuatro cinco.")]


# The table


def test_every_speaker_can_be_left() -> None:
    reachable = {Speaker.LISTENING}
    for _ in Speaker:
        reachable |= {after for (before, _), after in TRANSITIONS.items() if before in reachable}

    assert reachable == set(Speaker)
    assert {before for before, _ in TRANSITIONS} == set(Speaker)
    assert {signal for _, signal in TRANSITIONS} == set(Signal)
    assert all(before is not after for (before, _), after in TRANSITIONS.items())


def test_no_mute_is_left_after_a_whole_turn() -> None:
    scene = answering(is_over=False)
    scene.says(*scene.nova.closes_audio(END_TURN))

    assert scene.tracker._mute is Mute.NOTHING


def test_typing_over_an_answer_when_a_tool_was_only_called_stops_what_is_heard_and_mutes_nothing_that_follows() -> None:
    scene = Scene()
    scene.says(*scene.nova.start(), *scene.nova.user("Hola"), *scene.nova.speaks(3_000))
    scene.says(*scene.nova.calls("use-1"))
    told = scene.does(scene.tracker.interrupt(scene.now))
    scene.does(scene.tracker.user_typed("No, gracias", scene.now))
    answered = scene.says(*scene.nova.speaks(500))

    assert [event.turn for event in told if isinstance(event, Interrupted)] == [2]
    assert speech_ms(answered) == 500
