"""Which brain and which voice an emulator plays with. The demo brain and the synthesisers are imported only when they are asked for."""

from importlib import import_module
from typing import cast

from nova_sonic_local.babble import BabbleVoice
from nova_sonic_local.brains.interface import Voice
from nova_sonic_local.brains.script import DEFAULT_SCRIPT, ScriptBrain, load_script
from nova_sonic_local.options import BrainFactory, Options


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
            return lambda prompt: ScriptBrain(prompt, script)
        case "demo":
            factory: BrainFactory = import_module("nova_sonic_local.brains.demo").demo_factory(options.scenario)
            return factory
        case name:
            raise ValueError(f"no brain is called {name!r}; there are demo, script and echo")


def choose_voice(options: Options) -> Voice:
    """Return the voice."""
    if not isinstance(options.voice, str):
        return options.voice
    if options.voice == "builtin":
        return BabbleVoice()
    return cast("Voice", import_module("nova_sonic_local.speech.voices").choose_voice(options.voice))
