"""Which brain and which voice an emulator, or one of its streams, plays with.

A stream chooses its brain by the request header `x-nova-sonic-local-brain: name[:scenario]`; the scenario is the name of a file in the
folder that the command line gave, without `.toml`, and never a path. The demo and chat brains and the synthesisers are imported only when
they are asked for.
"""

import asyncio
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Final, cast

from nova_sonic_local.babble import BabbleVoice
from nova_sonic_local.brains.interface import Voice
from nova_sonic_local.brains.script import DEFAULT_SCRIPT, ScriptBrains, ScriptError, load_script
from nova_sonic_local.options import BrainFactory, ClosableBrains, Options
from nova_sonic_local.replay import Recording, load_recording

HEADER: Final = "x-nova-sonic-local-brain"
LONGEST_NAME: Final = 100
"""More of what a client asks for is neither looked up nor repeated to it."""
FOLLOW_SCENARIOS: Final = ("demo", "script", "chat")
"""The brains that a scenario can be chosen for."""


class CastingError(ValueError):
    """There is no such brain or scenario, or it cannot be used."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who answers a stream."""

    name: str
    """As it was asked for."""
    role: BrainFactory | Recording | None
    """What makes brains, or what is replayed; None for the echo."""


def choose_brain(options: Options) -> BrainFactory | None:
    """Return what makes brains, or None for the echo.

    Raises:
        ValueError: there is no such brain.
        ScriptError: the script cannot be used.
    """
    if not isinstance(options.brain, str):
        return options.brain
    match options.brain:
        case "echo":
            return None
        case "script":
            script = load_script(options.scenario) if options.scenario is not None else DEFAULT_SCRIPT
            return ScriptBrains(script)
        case "demo":
            factory: BrainFactory = import_module("nova_sonic_local.brains.demo").demo_factory(options.scenario)
            return factory
        case "chat":
            if options.chat is None:
                raise ValueError("the chat brain has no endpoint: the emulator was started without --chat-url and --chat-model")
            chat: BrainFactory = import_module("nova_sonic_local.brains.chat").ChatBrains(options.chat, options.scenario)
            return chat
        case name:
            raise ValueError(f"no brain is called {name!r}; there are demo, script, echo and chat")


class Casting:
    """The brains of one emulator; each kind is made once, when it is first asked for.

    Args:
        options: of the emulator.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._roles: dict[tuple[str, Path | None, int], BrainFactory | Recording | None] = {}
        self._busy = asyncio.Lock()

    @property
    def usual(self) -> str:
        """The name of the brain of streams that ask for none."""
        if self._options.replay is not None:
            return "replay"
        return self._options.brain if isinstance(self._options.brain, str) else "custom"

    async def cast(self, wanted: str = "") -> Cast:
        """Return who answers a stream that asks for `name[:scenario]`, or for nobody in particular.

        Raises:
            CastingError: there is no such brain or scenario, or it cannot be used.
        """
        wanted = (wanted or self.usual)[:LONGEST_NAME]
        name, colon, scenario = wanted.partition(":")
        path = await asyncio.to_thread(self._find_scenario, name, scenario) if colon else self._usual_scenario(name)
        changed = path.stat().st_mtime_ns if path is not None and path.exists() else 0
        key = (name, path, changed)
        if key in self._roles:  # nobody else waits while a brain is made that takes seconds
            return Cast(wanted, self._roles[key])
        async with self._busy:
            if key not in self._roles:
                try:
                    self._roles[key] = await asyncio.to_thread(self._make, name, path)
                except (ValueError, ScriptError, ImportError) as error:
                    raise CastingError(str(error)) from error
        return Cast(wanted, self._roles[key])

    async def aclose(self) -> None:
        """Let go of what brains share."""
        for role in self._roles.values():
            if isinstance(role, ClosableBrains):
                await role.aclose()

    def _usual_scenario(self, name: str) -> Path | None:
        return self._options.scenario if name == self._options.brain else None

    def _find_scenario(self, name: str, scenario: str) -> Path:
        folder = self._options.scenario_dir
        if name not in FOLLOW_SCENARIOS:
            raise CastingError(f"a scenario can be chosen for {', '.join(FOLLOW_SCENARIOS)}, not for {name!r}")
        if folder is None:
            raise CastingError("no scenario can be chosen: the emulator was started without --scenario-dir")
        # Looked up among what is there, so that nothing a client writes ever becomes part of a path.
        known = {path.stem: path for path in folder.iterdir() if path.suffix == ".toml" and path.is_file()}
        if scenario not in known:
            raise CastingError(f"no scenario is called {scenario!r}; there are {', '.join(sorted(known)) or 'none'}")
        return known[scenario]

    def _make(self, name: str, scenario: Path | None) -> BrainFactory | Recording | None:
        if name == "replay":
            if self._options.replay is None:
                raise ValueError("nothing can be replayed: the emulator was started without --replay")
            return load_recording(self._options.replay)
        if name == "custom" and not isinstance(self._options.brain, str):
            return self._options.brain
        return choose_brain(replace(self._options, brain=name, scenario=scenario))


def choose_voice(options: Options) -> Voice:
    """Return the voice."""
    if not isinstance(options.voice, str):
        return options.voice
    if options.voice == "builtin":
        return BabbleVoice()
    return cast("Voice", import_module("nova_sonic_local.speech.voices").choose_voice(options.voice))
