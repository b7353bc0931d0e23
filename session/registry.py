"""The live sessions of one server: admission, lookup and the end of all of them."""

import asyncio
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from s2s.events import ToolSpec
from s2s.limits import STRICT, TextProfile
from s2s.models import capabilities
from session.assistant import AssistantProfile, SessionPlan, plan_session
from session.client_link import ClientLink
from session.client_tools import ANSWER_SECONDS
from session.continuation import JITTER_SECONDS
from session.errors import NotAllowed, ServerBusy, ServerLeaving, SessionError
from session.events import Start
from session.hearing import live_ear
from session.interfaces import Attendance, AudioAttendance, Clock, ModelClient, Observer, Recorder, SessionObserver, ToolRunner
from session.keeper import PARK_RESERVE_SECONDS, SessionKeeper
from session.label import SessionLabel
from session.origin import Origin
from session.resumption import Crowd
from session.revision import reconsidering
from session.runner import SessionRunner
from session.snapshot import SessionSnapshot
from session.stream_quota import StreamQuota


class SessionRegistry:
    """Makes sessions and knows those that live.

    Args:
        model: opens streams.
        tools: runs tools.
        assistants: profiles by name.
        default_assistant: for clients that name none.
        observers: listen to every session.
        clock: monotonic time.
        max_sessions: how many may live at once.
        text_profile: how much text a stream may be given.
        is_overloaded: tells whether the process cannot serve more than it has; the first session is taken all the same.
        recorder: of sessions, if any are recorded.
        keeper: keeps sessions for other processes, and has theirs; None ends them with this one.
        quota: has sessions take turns at the model's streams; None opens each at once.
        client_tool_seconds: how long a client may take for a call of one of its tools.
        idle_seconds: how long nobody may say anything; 0 is for ever.
        attendances: give each session observers of its own.
        audio_attendances: give it observers that listen to what is said.
    """

    def __init__(
        self,
        *,
        model: ModelClient,
        tools: ToolRunner,
        assistants: Mapping[str, AssistantProfile],
        default_assistant: str,
        observers: Sequence[Observer],
        clock: Clock,
        max_sessions: int,
        text_profile: TextProfile = STRICT,
        is_overloaded: Callable[[], bool] = bool,
        recorder: Recorder | None = None,
        keeper: SessionKeeper | None = None,
        quota: StreamQuota | None = None,
        client_tool_seconds: float = ANSWER_SECONDS,
        idle_seconds: float = 0.0,
        attendances: Sequence[Attendance] = (),
        audio_attendances: Sequence[AudioAttendance] = (),
    ) -> None:
        self._model = model
        self._tools = tools
        self._assistants = assistants
        self._default_assistant = default_assistant
        self._observers = (*observers, keeper) if keeper is not None else tuple(observers)
        self._clock = clock
        self._max_sessions = max_sessions
        self._text_profile = text_profile
        self._is_overloaded = is_overloaded
        self._recorder = recorder
        self._keeper = keeper
        self._quota = quota
        self._client_tool_seconds = client_tool_seconds
        self._idle_seconds = idle_seconds
        self._attendances = tuple(attendances)
        self._audio_attendances = tuple(audio_attendances)
        self._expected = 0
        """Sessions of other processes for which a place is kept."""
        self._admitted: list[SessionRunner] = []
        self._live: dict[str, SessionRunner] = {}
        self._is_leaving = False
        self._none_left = asyncio.Event()
        self._none_left.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._crowd = Crowd()

    @property
    def live(self) -> int:
        """How many sessions live, with those that were admitted and do not run yet.

        One that has ended without ever having run, because its task was cancelled before its first step, holds no place.
        """
        self._admitted = [runner for runner in self._admitted if not runner.is_over]
        return self._expected + len(self._admitted) + len(self._live)

    def has_assistant(self, name: str) -> bool:
        """Tell whether there is an assistant of this name."""
        return name in self._assistants

    def profile(self, name: str) -> AssistantProfile:
        """Return an assistant; the one for clients that name none, if there is none of this name."""
        return self._assistants.get(name) or self._assistants[self._default_assistant]

    def clients(self) -> tuple[ClientLink, ...]:
        """Return what is known of the clients of all sessions that live."""
        return tuple(runner.client for runner in (*self._admitted, *self._live.values()) if not runner.is_over)

    @property
    def is_leaving(self) -> bool:
        """Whether the server ends and takes no session any more."""
        return self._is_leaving

    @property
    def has_room(self) -> bool:
        """Whether a session would be admitted now."""
        return not self._is_leaving and self.live < self._max_sessions and not self.is_overloaded

    @property
    def is_overloaded(self) -> bool:
        """Whether the sessions that live are as many as the processor can serve, whatever their number."""
        return self.live > 0 and self._is_overloaded()

    def open(self, start: Start, profile: AssistantProfile | None = None) -> SessionRunner:
        """Admit a session; the caller has it run with `launch(runner)`.

        Args:
            start: the client's wishes.
            profile: an assistant that is no client's to choose, in the place of the one that is asked for.

        Raises:
            ServerBusy: all places are taken, or the processor is.
            ServerLeaving: the server ends.
            NotAllowed: there is no such assistant, language or voice.
        """
        return self._admit(start, str(uuid.uuid4()), profile=profile)

    async def adopt(self, handle: str, principal: str) -> SessionRunner | None:
        """Admit the session of another process under its own id; None if there is none for this client.

        Nobody is given the same session again, unless it cannot be admitted here, or not for this client: then it stays where it was.

        Args:
            handle: SHA-256, in hexadecimal, of the token that the client comes back with.
            principal: who asks; a session of somebody else is none.

        Raises:
            ServerBusy: all places are taken, or nothing can be looked up now.
            ServerLeaving: the server ends.
            NotAllowed: there is no such assistant or language any more.
        """
        if self._keeper is None:
            return None
        self._check_room()
        self._expected += 1
        try:
            snapshot = await self._keeper.take(handle)
        finally:
            self._expected -= 1
        if snapshot is None:
            return None
        if snapshot.principal != principal:  # a stolen token is no reason to lose the session
            await self._keeper.give_back(handle, snapshot)
            return None
        if (former := self._live.get(snapshot.session_id)) is not None:
            former.park()  # it was adopted elsewhere, has not learnt of it, and its client is back
        try:
            runner = self._admit(snapshot.start, snapshot.session_id, snapshot)
        except SessionError:
            await self._keeper.give_back(handle, snapshot)
            raise
        runner.client.principal, runner.client.upstream = principal, snapshot.upstream
        runner.client.input_hertz = snapshot.start.input_hertz
        return runner

    def _check_room(self) -> None:
        if self._is_leaving:
            raise ServerLeaving
        if self.live >= self._max_sessions or self.is_overloaded:
            raise ServerBusy

    def _admit(
        self, start: Start, session_id: str, snapshot: SessionSnapshot | None = None, profile: AssistantProfile | None = None
    ) -> SessionRunner:
        self._check_room()
        name = start.assistant or self._default_assistant
        if (profile := profile or self._assistants.get(name)) is None:
            raise NotAllowed(f"There is no assistant {name[:40]!r}.")
        wishes, model = replace(start, assistant=name), capabilities(self._model.model_id)

        def plan_for(wishes: Start) -> SessionPlan:
            return replace(plan_session(profile, wishes, model, self._client_tool_seconds), idle_seconds=self._idle_seconds)

        def specs_of(plan: SessionPlan) -> tuple[ToolSpec, ...]:
            return (*self._tools.specs(plan.tools), *plan.client_tools)

        plan = plan_for(wishes)
        origin = Origin(
            session_id=session_id,
            model_id=self._model.model_id,
            plan=plan,
            tools=specs_of(plan),
            names_seed=uuid.uuid4().hex,
            renewal_jitter_seconds=random.uniform(0.0, JITTER_SECONDS),  # noqa: S311  # spreads load, hides nothing
            resume_jitter=random.random(),  # noqa: S311  # the same
            snapshot=snapshot,
            limits=self._text_profile,
        )
        tape = None if self._recorder is None else self._recorder.open(origin)
        machine, playback = origin.make(live_ear if tape is None else tape.ear)
        runner = SessionRunner(
            session_id=origin.session_id,
            machine=machine,
            playback=playback,
            model=self._model if self._quota is None else self._quota.for_session(is_living=snapshot is not None),
            tools=self._tools,
            observers=self._observers,
            clock=self._clock,
            crowd=self._crowd,
            tape=tape,
            origin=origin,
            reconsider=reconsidering(plan, plan_for, specs_of),
        )
        self._admitted.append(runner)
        return runner

    def launch(self, runner: SessionRunner, observers: Sequence[SessionObserver] | None = None) -> asyncio.Task[None]:
        """Run an admitted session in a task of the registry's own: no connection takes it with it.

        Args:
            runner: of the session.
            observers: of it alone, in the place of those that write conversations down.
        """
        task = asyncio.create_task(self.run(runner, observers))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def sessions(self) -> tuple[SessionRunner, ...]:
        """Return the sessions that run."""
        return tuple(self._live.values())

    def find(self, session_id: str) -> SessionRunner | None:
        """Return a session that runs, or None."""
        return self._live.get(session_id)

    def let_go(self) -> None:
        """Leave every session that is kept to other processes, at once."""
        if self._keeper is not None:
            self._keeper.let_go()

    async def close(self) -> None:
        """Cut off every session that still runs, and return when all that they opened is closed."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def run(self, runner: SessionRunner, observers: Sequence[SessionObserver] | None = None) -> None:
        """Run an admitted session to its end and give its place back."""
        if runner in self._admitted:
            self._admitted.remove(runner)
        self._live[runner.session_id] = runner
        self._none_left.clear()
        if self._keeper is not None:
            self._keeper.watch(runner)
        if observers is None:
            self._attend(runner)
        else:
            runner.attend(observers, ())
        try:
            await runner.run()
        finally:
            if self._keeper is not None:
                self._keeper.unwatch(runner)
            if self._live.get(runner.session_id) is runner:
                del self._live[runner.session_id]
            if not self._live:
                self._none_left.set()

    def _attend(self, runner: SessionRunner) -> None:
        """Give a session observers of its own."""
        origin, client = runner.origin, runner.client
        if origin is None or not (self._attendances or self._audio_attendances):
            return
        plan = origin.plan
        label = SessionLabel(
            runner.session_id,
            client.principal,
            client.connection_id,
            plan.assistant,
            plan.language,
            plan.voice_id,
            origin.model_id,
            plan.input_hertz,
            plan.output_hertz,
            datetime.now(UTC),
            is_adopted=origin.snapshot is not None,
        )
        observers = [observer for each in self._attendances if (observer := each.attend(label)) is not None]
        audio = [observer for each in self._audio_attendances if (observer := each.attend(label)) is not None]
        runner.attend(observers, audio)

    async def drain(self, seconds: float) -> None:
        """Admit nobody any more, park or end every session politely, and return when all are gone or the time is over."""
        self._is_leaving = True
        longest = seconds
        for runner in (*self._admitted, *self._live.values()):
            is_parked = self._keeper is not None and self._keeper.park(runner, seconds)
            longest = max(longest, PARK_RESERVE_SECONDS if is_parked else 0.0)
            runner.drain(longest if is_parked else seconds, is_parked=is_parked)
        try:
            async with asyncio.timeout(longest + 1.0):
                await self._none_left.wait()
        except TimeoutError:
            pass
