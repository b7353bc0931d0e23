"""The live sessions of one server: admission, lookup and the end of all of them."""

import asyncio
import random
import uuid
from collections.abc import Mapping, Sequence

from s2s.models import capabilities
from session.assistant import AssistantProfile, plan_session
from session.continuation import JITTER_SECONDS
from session.errors import NotAllowed, ServerBusy, ServerLeaving
from session.events import Start
from session.interfaces import Clock, ModelClient, Observer, Recorder, ToolRunner
from session.origin import Origin
from session.runner import SessionRunner


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
        recorder: of sessions, if any are recorded.
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
        recorder: Recorder | None = None,
    ) -> None:
        self._model = model
        self._tools = tools
        self._assistants = assistants
        self._default_assistant = default_assistant
        self._observers = tuple(observers)
        self._clock = clock
        self._max_sessions = max_sessions
        self._recorder = recorder
        self._admitted: list[SessionRunner] = []
        self._live: dict[str, SessionRunner] = {}
        self._is_leaving = False
        self._none_left = asyncio.Event()
        self._none_left.set()

    @property
    def live(self) -> int:
        """How many sessions live, with those that were admitted and do not run yet.

        One that has ended without ever having run, because its task was cancelled before its first step, holds no place.
        """
        self._admitted = [runner for runner in self._admitted if not runner.is_over]
        return len(self._admitted) + len(self._live)

    @property
    def is_leaving(self) -> bool:
        """Whether the server ends and takes no session any more."""
        return self._is_leaving

    @property
    def has_room(self) -> bool:
        """Whether a session would be admitted now."""
        return not self._is_leaving and self.live < self._max_sessions

    def open(self, start: Start) -> SessionRunner:
        """Admit a session; the caller runs it with `run(runner)`.

        Raises:
            ServerBusy: all places are taken.
            ServerLeaving: the server ends.
            NotAllowed: there is no such assistant, language or voice.
        """
        if self._is_leaving:
            raise ServerLeaving
        if self.live >= self._max_sessions:
            raise ServerBusy
        name = start.assistant or self._default_assistant
        if name not in self._assistants:
            raise NotAllowed(f"There is no assistant {name[:40]!r}.")
        plan = plan_session(self._assistants[name], start, capabilities(self._model.model_id))
        origin = Origin(
            session_id=str(uuid.uuid4()),
            model_id=self._model.model_id,
            plan=plan,
            tools=self._tools.specs(plan.tools),
            names_seed=uuid.uuid4().hex,
            renewal_jitter_seconds=random.uniform(0.0, JITTER_SECONDS),  # noqa: S311  # spreads load, hides nothing
            resume_jitter=random.random(),  # noqa: S311  # the same
        )
        machine, playback = origin.make()
        runner = SessionRunner(
            session_id=origin.session_id,
            machine=machine,
            playback=playback,
            model=self._model,
            tools=self._tools,
            observers=self._observers,
            clock=self._clock,
            tape=None if self._recorder is None else self._recorder.open(origin),
        )
        self._admitted.append(runner)
        return runner

    async def run(self, runner: SessionRunner) -> None:
        """Run an admitted session to its end and give its place back."""
        if runner in self._admitted:
            self._admitted.remove(runner)
        self._live[runner.session_id] = runner
        self._none_left.clear()
        try:
            await runner.run()
        finally:
            self._live.pop(runner.session_id, None)
            if not self._live:
                self._none_left.set()

    async def drain(self, seconds: float) -> None:
        """Admit nobody any more, end every session politely, and return when all are gone or the time is over."""
        self._is_leaving = True
        for runner in (*self._admitted, *self._live.values()):
            runner.drain(seconds)
        try:
            async with asyncio.timeout(seconds + 1.0):
                await self._none_left.wait()
        except TimeoutError:
            pass
