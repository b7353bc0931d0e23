"""A model that speaks a long answer in one burst, as fast as it is taken, and tells when it was interrupted.

Run as `python -m bench.talker --folder DIR [--seconds S] [--streams N]`; prints endpoint and certificate authority as one JSON line. What a
user is recognised to have said is the monotonic time in nanoseconds at which the model noticed that it was interrupted last, 0 for never.
"""

import argparse
import asyncio
import json
import time
from pathlib import Path

import uvloop

from bench.positions import coded_speech
from nova_sonic_local.brains.interface import Prompt, Reply, UserTurn
from nova_sonic_local.manner import Manner
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from nova_sonic_local.turns import TurnEngine

SECONDS = 20.0
"""Length of an answer."""
ANSWER = "This is a long answer."
"""What it says, by the text of it."""


class Told:
    """Recognises when the interruption was."""

    def __init__(self, at: int) -> None:
        self._at = at

    async def feed(self, pcm: bytes) -> None:
        """Need no sound."""

    async def finish(self) -> str:
        """Return the time."""
        return str(self._at)


class Talker:
    """Answers everything with the same burst.

    Args:
        prompt: of the stream.
        seconds: length of an answer.
    """

    def __init__(self, prompt: Prompt, seconds: float) -> None:
        self._speech = coded_speech(round(seconds * prompt.output_hertz))
        self.interrupted_at = 0
        """Monotonic nanoseconds."""

    def listen(self) -> Told:
        """Be told what happened before."""
        return Told(self.interrupted_at)

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        """Speak."""
        del turn
        await reply.play(self._speech, ANSWER)

    async def close(self) -> None:
        """Hold nothing."""


def note_interruptions() -> None:
    """Have every engine tell its brain when it is about to tell the client of an interruption."""
    interrupt = TurnEngine._interrupt  # noqa: SLF001 - the emulator has no need of its own for the time

    def note(engine: TurnEngine) -> None:
        if isinstance(engine.equipment.brain, Talker):
            engine.equipment.brain.interrupted_at = time.monotonic_ns()
        interrupt(engine)

    TurnEngine._interrupt = note  # type: ignore[method-assign,assignment]  # noqa: SLF001 - as above


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--speed", type=float, default=0.0, help="times faster than it plays; 0 is as fast as it is taken")
    parser.add_argument("--streams", type=int, default=100)
    arguments = parser.parse_args()
    note_interruptions()
    options = Options(
        brain=lambda prompt: Talker(prompt, arguments.seconds),
        manner=Manner(speech_speed=arguments.speed),
        max_streams=arguments.streams,
        ca_dir=arguments.folder,
    )
    async with NovaSonicLocal(options) as emulator:
        print(json.dumps({"endpoint": emulator.endpoint, "ca_file": str(emulator.ca_file)}), flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(main())
