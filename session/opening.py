"""The events that open a model's stream, and the groups that are sent on it later."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from s2s.events import (
    AudioContentStart,
    AudioInput,
    ContentEnd,
    InputEvent,
    PromptStart,
    Role,
    SessionStart,
    TextContentStart,
    TextInput,
    ToolContentStart,
    ToolResult,
    ToolSpec,
)
from s2s.limits import PRIMING_MS, STRICT, TextProfile, split_text
from session.assistant import SessionPlan
from session.events import HistoryTurn
from session.history import replayable

HALVINGS: Final = 3
"""After the second one, a quarter, nothing is told: histories were refused from 10 KB on, and there are attempts for no more."""


class Wording:
    """Makes the events of one stream, with names of its own.

    Args:
        plan: what the session is opened with.
        tools: specs of the plan's tools.
        new_name: makes a name that was never used before, a UUID as a rule.
        limits: how much text a stream may be given.
    """

    def __init__(self, plan: SessionPlan, tools: Sequence[ToolSpec], new_name: Callable[[], str], limits: TextProfile = STRICT) -> None:
        self._plan = plan
        self._tools = tuple(tools)
        self._new_name = new_name
        self._prompt_name = new_name()
        self._audio_name = new_name()
        self._bytes_per_ms = plan.input_hertz * 2 / 1_000
        self._full = self._limits = limits
        self._history_bytes = 0
        """Of the history that was written last."""
        self._halvings = 0

    def revise(self, plan: SessionPlan, tools: Sequence[ToolSpec]) -> None:
        """Open the streams that come by another plan; the rates of audio are the same."""
        self._plan, self._tools = plan, tuple(tools)

    def opening(self, history: Sequence[HistoryTurn]) -> tuple[InputEvent, ...]:
        """Return everything from sessionStart to the open audio block."""
        plan, past = self._plan, replayable(history, self._limits)
        self._history_bytes = sum(len(turn.text.encode()) for turn in past)
        return (
            SessionStart(plan.inference, plan.endpointing),
            PromptStart(self._prompt_name, plan.voice_id, plan.output_hertz, self._tools),
            *self._text(Role.SYSTEM, plan.prompt),
            *(event for turn in past for event in self._text(turn.role, turn.text)),
            AudioContentStart(self._prompt_name, self._audio_name, plan.input_hertz),
        )

    def shorten(self, *, is_known: bool) -> bool:
        """Tell half as much of the past as last time, and nothing in the end; return whether there was anything to leave out.

        Args:
            is_known: whether the service said that it was too much, so that as much is never told again.
        """
        if not self._history_bytes:
            return False
        self._halvings += 1
        limit = self._history_bytes // 2 if self._halvings < HALVINGS else 0
        self._limits = replace(self._limits, history_bytes=limit)
        self._full = self._limits if is_known else self._full
        return True

    def accepted(self) -> None:
        """Take note that the service has taken an opening."""
        self._limits, self._halvings = self._full, 0

    def audio(self, pcm: bytes) -> tuple[InputEvent, ...]:
        """Return the user's speech."""
        return (AudioInput(self._prompt_name, self._audio_name, pcm),)

    def silence(self, duration_ms: float) -> tuple[InputEvent, ...]:
        """Return silence of this length."""
        return self.audio(bytes(2 * round(duration_ms * self._bytes_per_ms / 2)))

    def typed_turn(self, text: str) -> tuple[InputEvent, ...]:
        """Return a typed turn of the user, with the silence without which the model answers it mutely."""
        return (*self.silence(PRIMING_MS), *self._text(Role.USER, text, interactive=True))

    def tool_result(self, tool_use_id: str, content: str) -> tuple[InputEvent, ...]:
        """Return the result of a tool call."""
        name = self._new_name()
        return (
            ToolContentStart(self._prompt_name, name, tool_use_id),
            ToolResult(self._prompt_name, name, content),
            ContentEnd(self._prompt_name, name),
        )

    def duration_ms(self, pcm: bytes) -> float:
        """Return how long the user's speech is."""
        return len(pcm) / self._bytes_per_ms

    def _text(self, role: Role, text: str, *, interactive: bool = False) -> Iterator[InputEvent]:
        name = self._new_name()
        yield TextContentStart(self._prompt_name, name, role, interactive)
        for piece in split_text(text, self._limits.text_input_bytes):
            yield TextInput(self._prompt_name, name, piece)
        yield ContentEnd(self._prompt_name, name)
