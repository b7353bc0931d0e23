"""What the user says is heard whole by one stream, whatever happens to the streams meanwhile."""

import random
import sys
from array import array
from collections import deque
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.errors import Remedy
from s2s.events import AudioInput, InputEvent, OutputEvent, TextContentStart, TextInput
from session.continuation import FORCE_SECONDS, NOISE_SECONDS, RENEW_SECONDS
from session.effects import Begin, Effect, KeepAudio, ModelEvent, OpenStream, Route, Send, StreamFailed, StreamOpened, Tick
from session.events import Interrupt, SendAudio
from session.hearing import FORGET_SECONDS, HEEDS, LIMIT_MS, PRE_ROLL_MS, Hearing, Heed, Sign
from session.life_cycle import State
from session.queues import UplinkQueue
from tests.session.doubles import PLAN, Conversation, Nova

HERTZ = 16_000
PIECE_MS = 20.0
PLAN_WITHOUT_TEXT = replace(PLAN, takes_text=False)


def counted(number: int, ms: float = PIECE_MS) -> bytes:
    """Return a piece of audio whose every sample is the number of the piece."""
    return number.to_bytes(2, "little") * round(ms * HERTZ / 1_000)


def noise(swing: int, ms: float, seed: int = 1) -> bytes:
    """Return steady noise."""
    chance = random.Random(seed)
    return array("h", [chance.randint(-swing, swing) for _ in range(round(ms * HERTZ / 1_000))]).tobytes()


def heard(hearing: Hearing, pcm: bytes, now: float = 0.0, *, is_filler: bool = False) -> Send:
    return hearing.take((AudioInput("p", "a", pcm),), len(pcm) / 32, now, is_filler=is_filler)


def numbers(groups: tuple[Send, ...]) -> list[int]:
    return [group.number for group in groups]


def spoken_to(pieces: int) -> Hearing:
    hearing = Hearing(HERTZ)
    for number in range(1, pieces + 1):
        heard(hearing, counted(number))
    return hearing


# What is kept


def test_while_nobody_speaks_half_a_second_is_kept_in_22_kb() -> None:
    hearing = spoken_to(3_000)
    size = sum(
        sys.getsizeof(each)
        for group in hearing.kept
        for each in (group, group.events, *group.events, *(event.pcm for event in group.events if isinstance(event, AudioInput)))
    )

    assert numbers(hearing.kept) == list(range(2_976, 3_001))
    assert hearing.kept_ms == PRE_ROLL_MS
    assert size <= 22_000


def test_an_utterance_is_kept_from_before_its_beginning_until_it_was_understood() -> None:
    hearing = spoken_to(100)
    hearing.note(Sign.BEGAN, 0.0)
    for number in range(101, 301):
        heard(hearing, counted(number))
    during = numbers(hearing.kept)
    hearing.note(Sign.ENDED, 0.0)
    after = numbers(hearing.kept)
    hearing.note(Sign.UNDERSTOOD, 0.0)

    assert during == after == list(range(76, 301))
    assert numbers(hearing.kept) == list(range(276, 301))


def test_what_is_said_while_the_text_of_the_last_utterance_is_on_its_way_is_kept() -> None:
    hearing = spoken_to(100)
    hearing.note(Sign.BEGAN, 0.0)
    hearing.note(Sign.ENDED, 0.0)
    for number in range(101, 201):
        heard(hearing, counted(number))
    hearing.note(Sign.BEGAN, 0.0)
    heard(hearing, counted(201))
    hearing.note(Sign.UNDERSTOOD, 0.0)

    assert numbers(hearing.kept) == list(range(176, 202))
    assert hearing.heed is Heed.SPEAKING


def test_of_a_long_utterance_the_last_ten_seconds_are_kept_and_the_rest_counts_as_lost_with_the_stream() -> None:
    hearing = spoken_to(25)
    hearing.note(Sign.BEGAN, 0.0)
    for number in range(26, 601):
        heard(hearing, counted(number))
    before = hearing.lost_ms
    hearing.note(Sign.CUT_OFF, 0.0)
    hearing.sent_again(0.0)

    assert hearing.kept_ms == LIMIT_MS
    assert not hearing.is_whole
    assert (before, hearing.lost_ms) == (0.0, 2_000.0)


def test_a_cough_is_forgotten() -> None:
    hearing = spoken_to(25)
    hearing.note(Sign.BEGAN, 0.0)
    hearing.note(Sign.ENDED, 1.0)
    for number in range(26, 101):
        heard(hearing, counted(number), 1.0)
    before = hearing.kept_ms
    heard(hearing, counted(101), 1.0 + FORGET_SECONDS)

    assert before > PRE_ROLL_MS
    assert hearing.kept_ms == PRE_ROLL_MS


def test_silence_that_nobody_sent_is_not_sent_again_before_the_first_word() -> None:
    hearing = Hearing(HERTZ)
    for _ in range(3):
        heard(hearing, bytes(640), is_filler=True)
    said = heard(hearing, counted(1))

    assert hearing.kept == (said,)


@pytest.mark.parametrize("heed", Heed)
@pytest.mark.parametrize("sign", Sign)
def test_whatever_is_noted_something_defined_follows(heed: Heed, sign: Sign) -> None:
    hearing = spoken_to(30)
    hearing.heed = heed
    hearing.note(sign, 0.0)
    heard(hearing, counted(31), 2 * FORGET_SECONDS)

    assert hearing.heed in {HEEDS.get((heed, sign), heed), Heed.NOBODY}
    assert hearing.kept[-1].number == 31


# Whether it is still


@pytest.mark.parametrize(
    ("sound", "is_still"),
    [
        (b"", True),
        (bytes(32_000), True),
        (b"".join(counted(number) for number in range(1, 30)), True),
        (noise(6_000, 1_000), True),
        (noise(300, 800) + noise(6_000, 100), False),
        (noise(300, 800) + noise(6_000, 300), False),
        (bytes(25_600) + noise(400, 40), False),
        (noise(6_000, 500) + noise(300, 320), True),
        (noise(6_000, 500) + noise(300, 200), False),
    ],
    ids=["nothing", "silence", "counting", "steady noise", "a word", "a longer word", "a soft sound", "after a word", "just after a word"],
)
def test_a_sound_that_begins_is_told_from_noise_that_goes_on(sound: bytes, *, is_still: bool) -> None:
    hearing = Hearing(HERTZ)
    for start in range(0, len(sound), 1_024):
        heard(hearing, sound[start : start + 1_024])

    assert hearing.is_still() is is_still


def opened(talk: Conversation) -> Conversation:
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.now = RENEW_SECONDS / 2
    talk.says(*Nova().hears(), *Nova().heard_out())
    talk.now = RENEW_SECONDS - 1.0
    return talk


def openings(effects: list[Effect]) -> list[OpenStream]:
    return [effect for effect in effects if isinstance(effect, OpenStream)]


def speaks(talk: Conversation, seconds: float, pcm: bytes) -> list[Effect]:
    """Let the microphone send pieces of 20 ms."""
    effects: list[Effect] = []
    for number in range(round(seconds / 0.02)):
        talk.now += 0.02
        at = 640 * number % len(pcm)
        effects += talk.give(SendAudio(pcm[at : at + 640]))
    return effects


def test_no_stream_is_changed_in_the_moment_in_which_a_word_begins() -> None:
    talk = opened(Conversation())
    before = speaks(talk, 0.9, noise(200, 900))
    word = speaks(talk, 0.4, noise(8_000, 400))
    after = speaks(talk, 0.6, noise(200, 600))

    assert openings(before) == openings(word) == []
    assert len(openings(after)) == 1


def test_noise_that_never_ends_is_waited_out_for_a_while() -> None:
    talk = opened(Conversation())
    babble = b"".join(noise(9_000 if number % 3 else 200, 100, number) for number in range(30))
    waiting = speaks(talk, NOISE_SECONDS + 0.5, babble)
    over = speaks(talk, 2.0, babble)

    assert openings(waiting) == []
    assert len(openings(over)) == 1


# One stream hears the whole utterance


@dataclass
class Stream:
    """A model that hears numbered pieces, and notices speech after a while."""

    generation: int
    took: list[int] = field(default_factory=list)
    is_reading: bool = True
    is_speaking: bool = False
    noticed: int = 0
    silence: int = 0


class Call:
    """A machine with its uplink, a microphone that counts, and streams that come and go; a piece is 100 ms.

    Args:
        notices_after: pieces of speech after which a model says that somebody speaks.
        ends_after: pieces of silence after which it takes the turn as over.
    """

    def __init__(self, notices_after: int = 3, ends_after: int = 8) -> None:
        self.talk = Conversation()
        self.nova = Nova()
        self.uplink = UplinkQueue()
        self.streams: dict[int, Stream] = {}
        self.route: int | None = 1
        self.opening: deque[int] = deque()
        self.spoken: set[int] = set()
        """Pieces in which somebody speaks."""
        self.understood: list[tuple[int, list[int]]] = []
        """Stream, and the pieces of speech that it understood together."""
        self.sent = 0
        self._notices_after = notices_after
        self._ends_after = ends_after
        self.give(Begin())
        self.opens()

    def give(self, given: object) -> None:
        """Tell the machine something and do what it asks for."""
        for effect in self.talk.give(given):  # type: ignore[arg-type]  # any input
            match effect:
                case Send():
                    self.uplink.put(effect)
                case Route(generation, first):
                    self.uplink.put_first(first)
                    self.route = generation
                case KeepAudio():
                    self.uplink.keep_audio()
                case OpenStream(generation):
                    self.streams[generation] = Stream(generation)
                    self.opening.append(generation)
                case _:
                    pass
        self.pump()

    def pump(self) -> None:
        """Let the stream take what it takes."""
        while self.route is not None and self.streams[self.route].is_reading and (group := self.uplink.pop()) is not None:
            for event in group.events:
                if isinstance(event, AudioInput) and not group.is_filler and group.number:
                    self.streams[self.route].took.append(int.from_bytes(event.pcm[:2], "little"))

    def piece(self, *, is_speech: bool = False) -> None:
        """Let 100 ms pass in which the microphone sends a piece."""
        self.talk.now += 0.1
        self.sent += 1
        if is_speech:
            self.spoken.add(self.sent)
        self.give(Tick())
        self.give(SendAudio(counted(self.sent, 100.0)))
        self.listen()

    def goes_on(self, pieces: int, *, is_speech: bool = False) -> None:
        """Let somebody speak on, or be silent."""
        for _ in range(pieces):
            self.piece(is_speech=is_speech)

    def listen(self) -> None:
        """Let the model say what it makes of what it took."""
        if self.route is None or self.talk.machine.state is State.CLOSED:
            return
        stream = self.streams[self.route]
        for number in stream.took[stream.noticed :]:
            stream.noticed += 1
            stream.silence = 0 if number in self.spoken else stream.silence + 1
            recent = stream.took[: stream.noticed]
            if not stream.is_speaking and all(each in self.spoken for each in recent[-self._notices_after :]):
                stream.is_speaking = len(recent) >= self._notices_after
                self.says(stream, *(self.nova.hears() if stream.is_speaking else ()))
            elif stream.is_speaking and stream.silence >= self._ends_after:
                stream.is_speaking = False
                self.answers(stream)

    def answers(self, stream: Stream) -> None:
        """Understand what was said, and answer."""
        known = {number for _, understood in self.understood for number in understood}
        self.understood.append((stream.generation, [number for number in stream.took if number in self.spoken and number not in known]))
        self.says(stream, *self.nova.heard_out(), *self.nova.user(f"Question {len(self.understood)}."))
        self.says(stream, *self.nova.plans("Yes."), *self.nova.speaks(100))

    def says(self, stream: Stream, *events: OutputEvent) -> None:
        """Let the model say something."""
        for event in events:
            self.give(ModelEvent(stream.generation, event))

    def opens(self) -> None:
        """Let the stream that was asked for first be accepted."""
        self.give(StreamOpened(self.opening.popleft()))
        self.listen()

    def dies(self, remedy: Remedy = Remedy.RESUME) -> None:
        """Let the stream that carries the session die."""
        living = self.talk.machine._streams.living
        if living is not None:
            self.give(StreamFailed(living, "model_lost", remedy))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("speech"), st.integers(4, 20)),
        st.tuples(st.just("pause"), st.integers(12, 20)),
        st.tuples(st.just("short pause"), st.integers(1, 4)),
        st.tuples(st.sampled_from(["dies", "backs off", "stops reading", "is refused"]), st.integers(0, 6)),
    ),
    min_size=3,
    max_size=14,
)


def perform(call: Call, what: str, count: int) -> None:
    """Let somebody speak or be silent, or let something happen to the stream while they go on with that."""
    if what in ("speech", "pause", "short pause"):
        call.goes_on(count, is_speech=what == "speech")
        return
    if what == "stops reading" and call.route is not None:
        call.streams[call.route].is_reading = False
        call.goes_on(count, is_speech=call.sent in call.spoken)
    call.dies(Remedy.BACKOFF if what == "backs off" else Remedy.RESUME)
    if what == "is refused" and call.opening:
        call.give(StreamFailed(call.opening.popleft(), "model_throttled", Remedy.BACKOFF))
    call.goes_on(count, is_speech=call.sent in call.spoken)
    for _ in range(40):  # backing off takes 3 s at most
        while call.opening:
            call.opens()
        if call.route is None:
            call.goes_on(1, is_speech=call.sent in call.spoken)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(STEPS)
def test_no_piece_is_lost_or_heard_twice_by_one_stream_whatever_happens(steps: list[tuple[str, int]]) -> None:
    call = Call()
    call.goes_on(20)
    for what, count in [*steps, ("pause", 20)]:
        perform(call, what, count)

    for stream in call.streams.values():
        assert all(before < after for before, after in pairwise(stream.took))
    if call.talk.machine.state is State.CLOSED:
        return
    last = call.streams[call.talk.machine._streams.current]
    assert last.took == list(range(last.took[0], call.sent + 1))
    understood = [number for _, pieces in call.understood for number in pieces]
    assert len(understood) == len(set(understood))
    assert 100.0 * len(call.spoken - set(understood)) <= call.talk.machine._hearing.lost_ms, "what was too long to be kept is counted"
    for _, pieces in call.understood:  # each in one piece, from its first to its last
        assert {number for number in call.spoken if pieces[0] <= number <= pieces[-1]} == set(pieces)


@pytest.mark.parametrize("opening_pieces", [0, 1, 5, 20])
@pytest.mark.parametrize("spoken_before", [1, 2, 3, 10, 40])
def test_an_utterance_in_which_its_stream_dies_is_heard_from_its_beginning_by_the_next(spoken_before: int, opening_pieces: int) -> None:
    call = Call()
    for _ in range(20):
        call.piece()
    for _ in range(spoken_before):
        call.piece(is_speech=True)
    call.dies()
    for _ in range(opening_pieces):
        call.piece(is_speech=True)
    call.opens()
    for _ in range(20):
        call.piece(is_speech=call.sent < 20 + spoken_before + opening_pieces + 3)

    assert call.understood == [(2, list(range(21, max(call.spoken) + 1)))]


def test_a_change_by_force_in_the_middle_of_an_utterance_cuts_nothing_of_it() -> None:
    call = Call(ends_after=10_000)
    call.goes_on(20)
    call.goes_on(5, is_speech=True)
    call.talk.now = FORCE_SECONDS - 1.0
    while not call.opening:
        call.piece(is_speech=True)
    for _ in range(4):
        call.piece(is_speech=True)
    call.opens()
    call.piece()

    assert call.streams[1].took[-1] == call.sent - 6
    assert call.streams[2].took == list(range(call.streams[2].took[0], call.sent + 1))
    assert call.streams[2].took[0] <= min(call.spoken)


def test_a_stream_that_died_in_silence_leaves_half_a_second_to_the_next() -> None:
    call = Call()
    for _ in range(30):
        call.piece()
    call.dies()
    call.opens()
    call.piece()

    assert call.streams[2].took == [26, 27, 28, 29, 30, 31]


def test_a_planned_change_gives_no_piece_to_both_streams() -> None:
    call = Call()
    while not call.opening:
        call.talk.now += 10.0
        call.piece()
    for _ in range(3):
        call.piece()
    call.opens()
    call.piece()

    assert [*call.streams[1].took, *call.streams[2].took] == list(range(1, call.sent + 1))


# Models that take no text


def typed(events: tuple[InputEvent, ...]) -> list[str]:
    interactive = {event.content_name for event in events if isinstance(event, TextContentStart) and event.interactive}
    return [event.content for event in events if isinstance(event, TextInput) and event.content_name in interactive]


@pytest.mark.parametrize("is_long", [False, True])
def test_a_model_that_takes_no_text_is_sent_the_sound_of_a_question_if_all_of_it_was_kept(*, is_long: bool) -> None:
    talk, nova = Conversation(PLAN_WITHOUT_TEXT), Nova()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    speaks(talk, 2.0, bytes(640))
    speaks(talk, 12.0 if is_long else 3.0, noise(6_000, 110) + bytes(2_560))
    talk.says(*nova.user("Is it there?"))
    died = talk.give(StreamFailed(1, "model_lost", Remedy.RESUME))
    (opening,) = openings(died)
    texts = [event.content for event in opening.opening if isinstance(event, TextInput)]
    (route,) = [effect for effect in talk.give(StreamOpened(2)) if isinstance(effect, Route)]

    assert typed(opening.opening) == []
    assert ("Is it there?" in texts) is is_long
    assert sum(group.audio_ms for group in route.first) >= 3_000


def test_an_utterance_that_was_cut_is_no_reason_to_speak_what_was_interrupted() -> None:
    call = Call()
    for _ in range(20):
        call.piece()
    call.says(call.streams[1], *call.nova.plans("A long answer."), *call.nova.opens_audio(), *call.nova.audio(5_000))
    for _ in range(4):
        call.piece(is_speech=True)
    waiting = call.talk.playback.waiting_ms
    call.dies()
    call.opens()
    for _ in range(20):
        call.piece()
    call.give(Interrupt())

    assert waiting == 0
    assert call.understood == [(2, [21, 22, 23, 24])]
