"""A whole conversation without an event loop: the machine and its queues between a simulated model and a simulated caller.

It does what the runner does (session/runner.py), and holds the session to its promises at every step. The number of a conversation decides
everything that happens in it: `python -m tests.session.simulated_call NUMBER` plays one again and prints what the caller was told.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import assert_never

from s2s.errors import Remedy
from s2s.events import AudioInput, Role
from session.effects import (
    FIRST_GENERATION,
    Begin,
    ClientBack,
    ClientLost,
    CloseStream,
    Drain,
    Effect,
    Emit,
    Finish,
    Flush,
    Input,
    KeepAudio,
    OpenStream,
    Overflowed,
    Route,
    Send,
    StartTool,
    StreamFailed,
    Tick,
    ToolDone,
)
from session.errors import SessionError
from session.events import (
    Command,
    ContinueReason,
    End,
    EndReason,
    ExchangeRefused,
    Interrupted,
    SendAudio,
    SendText,
    SessionContinued,
    SessionEnded,
    SessionEvent,
    SessionFailed,
    SpeechChunk,
    ToolFinished,
    ToolStarted,
    TranscriptUpdated,
)
from session.machine import SessionMachine
from session.queues import PlaybackQueue, UplinkQueue
from session.resumption import WINDOW_SECONDS
from tests.session.doubles import LOOK_UP, MODEL_ID, PLAN, counted_names
from tests.session.simulated_caller import Habits, SimulatedCaller
from tests.session.simulated_model import HEAD, PIECE_SECONDS, READING_SECONDS, ModelFaults, SimulatedModel, SimulatedStream
from tests.session.simulated_time import Agenda

HOUR = 3_600.0
STREAMS_LIMIT = 3
"""The stream that carries the session, one that is being opened, and one that is listened to for its last words."""
REMEMBERED_QUESTIONS = 6
"""Of the latest questions as many are told to each new stream."""
WORD = re.compile(r"u(\d+)|a(\d+)s(\d+)w(\d+)")


@dataclass
class Figures:
    """What happened in one conversation, or in many."""

    conversations: int = 0
    questions: int = 0
    answers: int = 0
    interruptions: int = 0
    tools: int = 0
    renewals: int = 0
    resumptions: int = 0
    refused: int = 0
    """Streams that were not accepted."""
    exchanges_refused: int = 0
    network_losses: int = 0
    ended_early: int = 0
    """Conversations that failed, as the budget of attempts allows."""
    dropped_ms: int = 0
    longest_wait: float = 0.0
    """Seconds in which a caller who waited for an answer learned nothing."""

    def add(self, other: "Figures") -> None:
        """Count another's as well."""
        for name, value in vars(other).items():
            mine = getattr(self, name)
            setattr(self, name, max(mine, value) if name == "longest_wait" else mine + value)


class SimulatedCall:
    """One conversation.

    Args:
        number: decides what happens.
        seconds: how long it is.
    """

    def __init__(self, number: int, seconds: float = HOUR) -> None:
        chance = Random(number)
        self.agenda = Agenda()
        self.log: list[tuple[float, SessionEvent]] = []
        self.figures = Figures(conversations=1)
        self._seconds = seconds
        self._has_marks = chance.random() < 0.8
        plan = replace(PLAN, takes_text=self._has_marks)
        self._faults, self._habits = draw_faults(chance), draw_habits(chance)
        self._model = SimulatedModel(self.agenda, Random(chance.random()), self._faults, has_speech_marks=self._has_marks)
        self._caller = SimulatedCaller(self.agenda, Random(chance.random()), self._habits, self, may_type=plan.takes_text)
        self._caller.says_it_again |= self._faults.breaks_off > 0
        self._tool_chance = Random(chance.random())
        self._drains_at = chance.uniform(seconds / 2, seconds - 60) if chance.random() < 0.05 else None
        self._playback = PlaybackQueue(plan.output_hertz)
        self.machine = SessionMachine(
            session_id=f"session-{number}",
            plan=plan,
            model_id=MODEL_ID,
            tools=(LOOK_UP,),
            playback=self._playback,
            new_name=counted_names(),
            renewal_jitter_seconds=chance.uniform(0, 30),
            resume_jitter=chance.random(),
            ear=lambda _: not self._caller.is_heard,
        )
        self._uplink = UplinkQueue()
        self._streams: dict[int, SimulatedStream] = {}
        self._opened = 0
        self._closed = 0
        self._route: int | None = FIRST_GENERATION
        self._is_writing_until = 0.0
        self._dropped_ms = 0.0
        self._sent_in_vain: set[int] = set()
        self._timer_at: float | None = None
        self._listens_at: float | None = None
        self._running: set[str] = set()
        self._finished: set[str] = set()
        self._asked: list[str] = []
        """Questions that the caller was shown as understood, as words."""
        self._untold: set[int] = set()
        """Questions that the latest stream was not told: it is to hear their sound."""
        self._lost_ms = 0.0
        self._is_over = False
        self._ended: SessionEnded | None = None

    # The whole conversation

    def run(self) -> Figures:
        """Let it happen, and check what holds for the whole.

        Raises:
            AssertionError: a promise was broken; the message says when.
        """
        try:
            self._run()
            self._check_end()
        except Exception as error:
            error.add_note(f"at {self.agenda.now:.3f} s, {self._faults}, {self._habits}")
            raise
        return self._figures()

    def _run(self) -> None:
        self.give(Begin())
        self._caller.begin()
        if self._drains_at is not None:
            self.agenda.at(self._drains_at, lambda: self.give(Drain(30.0)))
        self.agenda.run(self._seconds, lambda: self._is_over)
        if not self._is_over:
            self.give(End())
        if not self._caller.is_lost:
            while (event := self._playback.pop(self.agenda.now + HOUR)) is not None:
                self._hear(event)

    # As the runner does it

    def give(self, given: Input) -> None:
        """Tell the machine something and do what it asks for."""
        now = self.agenda.now
        if self._is_over and not isinstance(given, ClientBack):
            return
        for effect in self.machine.handle(given, now):
            self._perform(effect, now)
        if self._uplink.dropped_ms != self._dropped_ms:
            self._dropped_ms = self._uplink.dropped_ms
            self.give(Overflowed(self._dropped_ms))
        self._arm(now, is_tick=isinstance(given, Tick))
        self._listen()

    def command(self, command: Command) -> None:
        """Tell the machine what the caller wants."""
        try:
            self.give(command)
        except SessionError:
            assert isinstance(command, SendAudio | SendText), "no other command can be refused"

    def client_lost(self, grace_seconds: float, undelivered_samples: int) -> None:
        """Tell the machine that the caller's network is gone."""
        self.give(ClientLost(grace_seconds, undelivered_samples))

    def client_back(self, undelivered_samples: int) -> None:
        """Tell the machine that the caller is back."""
        self.give(ClientBack(undelivered_samples))

    @property
    def has_room(self) -> bool:
        """Whether the caller is read."""
        is_cut_off = self._route is None and all(not stream.is_alive for stream in self._streams.values())
        return not self._uplink.is_high or is_cut_off or self._is_over

    def _perform(self, effect: Effect, now: float) -> None:
        assert not self._is_over, "nothing after the end"
        match effect:
            case Send():
                self._uplink.put(effect)
                self._send()
            case Emit(event):
                self._emitted(event)
            case Flush(turn):
                self._playback.flush(turn, now)
            case StartTool(use):
                self._start_tool(use.tool_use_id)
            case OpenStream():
                self._open(effect)
            case Route(generation, first):
                self._uplink.put_first(first)
                assert generation is None or self._streams[generation].is_alive, "never sent on a dead stream"
                if generation == self._opened:
                    self._check_sound(first)
                self._route = generation
                self._send()
            case KeepAudio():
                self._uplink.keep_audio()
            case CloseStream(generation):
                self._close(generation)
            case Finish():
                self._is_over = True
                for generation in tuple(self._streams):
                    self._close(generation)
            case _:
                assert_never(effect)

    def _open(self, wanted: OpenStream) -> None:
        self._opened += 1
        stream = SimulatedStream(wanted.generation, self._model, wanted.opening, self._told_by_stream)
        self._streams[wanted.generation] = stream
        assert self._opened - self._closed <= STREAMS_LIMIT, "too many streams at once"
        if wanted.generation != FIRST_GENERATION:
            self._check_memory(stream)

    def _told_by_stream(self, given: Input) -> None:
        if isinstance(given, StreamFailed) and not self._streams[given.generation].is_open:
            self._forget(given.generation)
        self.give(given)
        self._send()

    def _close(self, generation: int) -> None:
        assert generation != self._route or self._is_over, "never closed while it is sent on"
        stream = self._streams.get(generation)
        if stream is not None and (stream.is_open or self._is_over):  # else the session does not want it, and closes it when it opens
            stream.close()
            self._forget(generation)

    def _forget(self, generation: int) -> None:
        del self._streams[generation]
        self._closed += 1

    def _send(self) -> None:
        stream = self._streams.get(self._route) if self._route is not None else None
        while stream is not None and stream.is_open and stream.is_alive and self.agenda.now >= self._is_writing_until:
            group = self._uplink.pop_bound(self._route or 0) or self._uplink.pop()
            if group is None:
                return
            if not stream.is_reading:
                self._block(stream, group)
                return
            stream.take(group.events)

    def _block(self, stream: SimulatedStream, group: Send) -> None:
        """A group is on its way that the stream does not take, until the client gives up."""
        if group.audio_ms and not group.is_filler:
            self._sent_in_vain |= {HEAD.unpack_from(event.pcm)[0] for event in group.events if isinstance(event, AudioInput)}
        self._is_writing_until = self.agenda.now + READING_SECONDS

        def gives_up() -> None:
            self._is_writing_until = 0.0
            stream.fail("model_stalled", Remedy.RESUME)

        self.agenda.after(READING_SECONDS, gives_up)

    def _start_tool(self, tool_use_id: str) -> None:
        assert tool_use_id not in self._running | self._finished, "run once"
        self._running.add(tool_use_id)
        chance = self._tool_chance
        seconds = chance.choice((0.05, 0.3, 1.0, 3.0, 12.0))

        def ends() -> None:
            self._running.discard(tool_use_id)
            self._finished.add(tool_use_id)
            self.give(ToolDone(tool_use_id, f'{{"answer":"{tool_use_id}"}}', "not_found" if chance.random() < 0.1 else None, 1))

        self.agenda.after(seconds, ends)

    def _arm(self, now: float, *, is_tick: bool) -> None:
        deadline = self.machine.next_deadline()
        if deadline is None:
            return
        assert deadline > now or not is_tick, "the timer would spin"
        fires_at = max(deadline, now + 0.001)
        if self._timer_at is not None and self._timer_at <= fires_at:
            return
        self._timer_at = fires_at
        self.agenda.at(fires_at, lambda: self._fire(fires_at))

    def _fire(self, moment: float) -> None:
        if moment == self._timer_at:
            self._timer_at = None
            self.give(Tick())

    def _listen(self) -> None:
        now = self.agenda.now
        while (event := self._playback.pop(now)) is not None:
            self._hear(event)
        ready_at = self._playback.ready_at()
        if ready_at is not None and (self._listens_at is None or self._listens_at <= now):
            self._listens_at = max(ready_at, now + 0.1)
            self.agenda.at(self._listens_at, self._listen)

    # Promises

    def _emitted(self, event: SessionEvent) -> None:
        self._playback.put(event, self.agenda.now)
        match event:
            case TranscriptUpdated(_, Role.USER, _, text):
                self._asked += WORDS_OF_USER.findall(text)
            case ExchangeRefused():
                self._asked.clear()
                self.figures.exchanges_refused += 1
            case SessionContinued(reason):
                self.figures.renewals += reason is ContinueReason.RENEWED
                self.figures.resumptions += reason is ContinueReason.RESUMED
            case SessionFailed():
                self._check_failure(event)
            case _:
                pass

    def _hear(self, event: SessionEvent) -> None:
        assert self._ended is None, "nothing comes after the end"
        if not isinstance(event, SpeechChunk):
            self.log.append((self.agenda.now, event))
        if isinstance(event, SessionEnded):
            self._ended = event
        self._caller.hear(event)

    def _check_memory(self, stream: SimulatedStream) -> None:
        """A new stream is told everything once, in order, and the latest questions surely."""
        told = " ".join([*(text for _, text in stream.history), stream.question])
        asked = [int(match[1]) for match in WORD.finditer(told) if match[1]]
        answered = [tuple(map(int, match.groups()[1:])) for match in WORD.finditer(told) if match[2]]
        assert asked == sorted(asked), f"questions in order: {asked}"  # one that was cut by a change of streams comes in two parts
        assert answered == sorted(set(answered)), f"answers once and in order: {answered}"
        latest = self._asked[-REMEMBERED_QUESTIONS:]
        self._untold = {int(word[1:]) for word in latest} - set(asked)
        if self._model.invalid:  # it may have been the length of the past, and less is told
            self._untold.clear()
        assert not self._untold or not self._has_marks, f"{sorted(self._untold)} forgotten"

    def _check_sound(self, first: Sequence[Send]) -> None:
        """What the user asked and a stream was not told it is sent as sound, unless that was too long ago, and counted as lost."""
        sound = b"".join(event.pcm[: HEAD.size] for group in first for event in group.events if isinstance(event, AudioInput))
        forgotten = self._untold - {utterance for _, utterance in HEAD.iter_unpack(sound)}
        lost_ms, self._lost_ms = self._lost_ms, self.machine._hearing.lost_ms
        assert not forgotten or self._lost_ms > lost_ms, f"{sorted(forgotten)} forgotten"
        self._untold.clear()

    def _check_failure(self, failure: SessionFailed) -> None:
        """A session fails only when nothing could be done, or enough was tried."""
        now = self.agenda.now
        self.figures.ended_early += 1
        recent = [at for at, _ in self._model.failed_at if now - at < WINDOW_SECONDS]
        refused = [at for at in self._model.refused_at if now - at < WINDOW_SECONDS]
        assert failure.code
        assert len(recent) + len(refused) > 0
        if not self._faults.silences:
            assert self._opened == 1 or len(recent) + len(refused) >= 2, "given up too early"

    def _check_end(self) -> None:
        """What holds when all is over."""
        assert self._is_over
        if self._caller.is_lost:
            return
        assert self._ended is not None, "the end is told"
        assert self._streams == {}, "every stream is closed"
        assert self._opened == self._closed
        if self._ended.reason is EndReason.CLIENT:
            assert self.agenda.now >= self._seconds
        elif self._ended.reason is not EndReason.FAILED:
            assert self._drains_at is not None
        assert self._caller.unanswered == [], "a question without any answer"
        started = [event.tool_use_id for _, event in self.log if isinstance(event, ToolStarted)]
        finished = [event.tool_use_id for _, event in self.log if isinstance(event, ToolFinished)]
        assert len(started) == len(set(started))
        assert set(finished) == self._finished
        assert len(finished) == len(set(finished))
        self._check_audio()

    def _check_audio(self) -> None:
        """Of the microphone every piece that was taken was sent, dropped and counted, or waits."""
        dropped = round(self._uplink.dropped_ms / (PIECE_SECONDS * 1_000))
        sent, given, waiting = len(self._model.pieces | self._sent_in_vain), self._caller.given_pieces, len(self._uplink)
        account = f"{given} pieces taken, {sent} sent, {dropped} dropped, {waiting} or fewer wait"
        assert sent + dropped <= given <= sent + dropped + waiting, account

    def _figures(self) -> Figures:
        figures = self.figures
        figures.questions = self._caller.questions
        figures.answers = self._model.answers
        figures.tools = self._model.tool_calls
        figures.refused = len(self._model.refused_at)
        figures.network_losses = self._caller.network_losses
        figures.interruptions = sum(isinstance(event, Interrupted) for _, event in self.log)
        figures.dropped_ms = round(self._uplink.dropped_ms)
        figures.longest_wait = self._caller.longest_wait
        return figures


WORDS_OF_USER = re.compile(r"u\d+")


def draw_faults(chance: Random) -> ModelFaults:
    """Return the faults of one conversation: one in five has none, the others have some of them."""
    if chance.random() < 0.2:
        return ModelFaults()

    def maybe(share: float, *values: float) -> float:
        return chance.choice(values) if chance.random() < share else 0.0

    return ModelFaults(
        deaths_per_hour=maybe(0.6, 2, 6, 20),
        refusals=maybe(0.4, 0.05, 0.2),
        slow_openings=maybe(0.2, 0.05, 0.2),
        outages_per_hour=maybe(0.3, 1, 4),
        outage_seconds=chance.choice((2.0, 10.0)),
        silences=maybe(0.3, 0.01, 0.05),
        breaks_off=maybe(0.2, 0.01, 0.05),
        blocked=maybe(0.2, 0.01, 0.03),
        stops_reading_per_hour=maybe(0.2, 1, 4),
        credentials_seconds=maybe(0.4, 900, 3_600),
    )


def draw_habits(chance: Random) -> Habits:
    """Return the habits of one caller."""
    return Habits(
        types=chance.choice((0.0, 0.05, 0.3)),
        interrupts=chance.choice((0.0, 0.2, 0.6)),
        presses_interrupt=chance.choice((0.0, 0.3)),
        loses_network_per_hour=chance.choice((0.0, 0.0, 2.0, 10.0)),
        falls_silent=chance.choice((0.0, 0.05, 0.2)),
        mutes=chance.choice((0.0, 0.5, 1.0)),
        reports_playback=chance.random() < 0.7,
    )


def main() -> None:
    """Play the conversation whose number the command line names, and print it."""
    call = SimulatedCall(int(sys.argv[1]))
    try:
        print(call.run())  # noqa: T201  # the figures
    finally:
        for moment, event in call.log[-int(sys.argv[2]) if len(sys.argv) > 2 else -200 :]:
            print(f"{moment:9.3f} {event}"[:200])  # noqa: T201  # what happened, for a person


if __name__ == "__main__":
    main()
