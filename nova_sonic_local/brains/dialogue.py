"""Decide what to do next in a conversation: ask, call a tool, or just say something.

Pure: takes an utterance or a tool result, returns a step. The brain performs it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nova_sonic_local.brains.intents import Understanding
from nova_sonic_local.brains.interface import Tool
from nova_sonic_local.brains.phrasing import Phrasing
from nova_sonic_local.brains.scenario import IntentSpec, Scenario


@dataclass(frozen=True, slots=True)
class Say:
    """Speak, and wait for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """Call a tool, then tell the dialogue its result."""

    tool: str
    arguments: Mapping[str, object]


type Step = Say | Call


@dataclass(slots=True)
class _Task:
    """What the user wants at the moment."""

    intent: IntentSpec
    slots: dict[str, object] = field(default_factory=dict)


class Dialogue:
    """One conversation."""

    def __init__(self, scenario: Scenario, understanding: Understanding, tools: Mapping[str, Tool], phrasing: Phrasing) -> None:
        self._scenario = scenario
        self._understanding = understanding
        self._tools = tools
        self._phrasing = phrasing
        self._task: _Task | None = None
        self._done: dict[str, object] = {}
        """Slots of the last successful task, for "and its details?"."""
        self._misses = 0
        self.expected: tuple[str, ...] = ()
        """Slots that were asked for."""

    @property
    def asked_for(self) -> IntentSpec | None:
        """Return the intent whose slots are being collected."""
        return self._task.intent if self._task is not None and self.expected else None

    def hear(self, text: str | None) -> Step:
        """Take what the user said; None when it was not understood."""
        reading = self._understanding.understand(text, self.expected) if text else None
        if not reading:
            return self._not_understood()
        self._misses = 0
        if reading.intent is not None and not reading.intent.tool:
            if reading.intent.drops_task:
                self._forget()
            return Say(self._talk(reading.intent))
        if reading.intent is not None and reading.intent.tool not in self._tools:
            return Say(self._phrase("not_offered"))
        if reading.intent is not None:
            slots = dict(reading.slots)
            kept = {name: value for name, value in self._done.items() if name in reading.intent.slots} if not slots else {}
            self._task = _Task(reading.intent, {**kept, **slots})
        elif self._task is not None:
            self._task.slots.update({name: value for name, value in reading.slots.items() if name in self._task.intent.slots})
        else:
            return self._not_understood()
        return self._next(self._task)

    def told(self, result: Mapping[str, object]) -> Say:
        """Take the result of the tool that was called."""
        task = self._task
        if task is None:
            return Say(self._phrase("done"))
        if result.get("success") is False or "error" in result:
            return self._refused(task, result)
        self._done = dict(task.slots)
        self._forget()
        said = self._phrasing.sentence(task.intent.phrases[self._understanding.language.id].say, result)
        return Say(said or _text(result, "message") or self._phrase("done"))

    def _refused(self, task: _Task, result: Mapping[str, object]) -> Say:
        """Say why it was refused, and be ready for the user to correct what was wrong."""
        code = _text(result, "error")
        reason = self._understanding.phrases.errors.get(code) or _text(result, "message") or self._phrase("failed")
        wrong = [name for name in self._scenario.corrections.get(code, ()) if name in task.intent.slots]
        if not wrong:
            self._forget()
            return Say(reason)
        for name in wrong:
            task.slots.pop(name, None)
        self.expected = tuple(wrong)
        return Say(reason)

    def _next(self, task: _Task) -> Step:
        missing = self._missing(task)
        if missing:
            self.expected = missing
            return Say(self._scenario.slots[missing[0]].phrases[self._understanding.language.id].ask)
        self.expected = ()
        arguments = self._arguments(task)
        lacking = [name for name in self._required(task.intent) if name not in arguments]
        if lacking:
            return Say(self._phrase("more").format(argument=lacking[0]))
        return Call(task.intent.tool, arguments)

    def _missing(self, task: _Task) -> tuple[str, ...]:
        """Return the first group of slots of which none is filled."""
        needs = list(task.intent.needs)
        for argument in self._required(task.intent):
            template = _first_template(task.intent.arguments, argument)
            needs += [(name,) for name in task.intent.slots if re.search(rf"\{{{name}\b", template)]
        return next((group for group in needs if not any(name in task.slots for name in group)), ())

    def _required(self, intent: IntentSpec) -> Sequence[str]:
        required = self._tools[intent.tool].schema.get("required", ())
        names = [str(name) for name in required] if isinstance(required, Sequence) and not isinstance(required, str) else []
        return [name for name in names if name not in intent.defaults]

    def _arguments(self, task: _Task) -> dict[str, object]:
        """Return the arguments under the names of the tool's own schema."""
        properties = self._tools[task.intent.tool].schema.get("properties", {})
        known = {_plain(str(name)): str(name) for name in properties} if isinstance(properties, Mapping) else {}
        arguments: dict[str, object] = {}
        for name, templates in task.intent.arguments.items():
            value = self._phrasing.first_value(templates, task.slots)
            wire_name = known.get(_plain(name), "" if known else name)
            if wire_name and (value is not None or name in task.intent.defaults):
                arguments[wire_name] = task.intent.defaults[name] if value is None else value
        return arguments

    def _not_understood(self) -> Say:
        said = self._understanding.phrases.say.get("not_understood", ("?",))
        text = said[min(self._misses, len(said) - 1)]
        self._misses += 1
        if self.expected:
            text = f"{said[0]} {self._scenario.slots[self.expected[0]].phrases[self._understanding.language.id].ask}"
        return Say(text)

    def _talk(self, intent: IntentSpec) -> str:
        said = intent.phrases[self._understanding.language.id].say
        return said[0] if said else self._phrase("done")

    def _phrase(self, name: str) -> str:
        said = self._understanding.phrases.say.get(name, ())
        return said[0] if said else name

    def _forget(self) -> None:
        self._task = None
        self.expected = ()


def _text(result: Mapping[str, object], name: str) -> str:
    value = result.get(name)
    return value if isinstance(value, str) else ""


def _plain(name: str) -> str:
    return name.replace("_", "").casefold()


def _first_template(arguments: Mapping[str, Sequence[str]], name: str) -> str:
    return next((templates[0] for argument, templates in arguments.items() if templates and _plain(argument) == _plain(name)), "")
