"""What recording a session costs: CPU per piece of audio, in the event loop and in all, and bytes of file per minute.

Run as `python -m bench.recording`; prints one JSON line. One session is fed pieces of audio as fast as it takes them, and its model answers
each with speech, once without a recorder, once with one that is off, once recorded. The best of several runs counts: what else the
machine does can only add.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import uvloop

from observers.trace_files import TraceFiles
from s2s.events import AudioOutput, ContentStarted, ContentType, InferenceConfiguration, InputEvent, OutputEvent, Role, ToolSpec
from s2s.models import DEFAULT_MODEL_ID
from session.assistant import AssistantLanguage, AssistantProfile
from session.events import End, SendAudio, SessionStarted, Start
from session.interfaces import ToolOutcome
from session.registry import SessionRegistry

PIECES = 4_000
RUNS = 8
PIECE_BYTES = 1_024
"""32 ms at 16 kHz."""
PAUSE_EVERY = 25
"""Pieces after which the loop is given to others, as the network would."""
PIECE_SECONDS = 0.032
LIMIT_US = 10.0
PROFILE = AssistantProfile(
    name="bench",
    default_language="en",
    languages={"en": AssistantLanguage("You are kind.", "matthew")},
    tools=(),
    client_may_set=frozenset(),
    inference=InferenceConfiguration(),
    endpointing=None,
    hidden_markers=(),
)


class AnsweringStream:
    """A stream that answers each piece of audio with as much speech."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[OutputEvent | None] = asyncio.Queue()
        self._said.put_nowait(ContentStarted("stream", "prompt", "completion", "content", ContentType.AUDIO, Role.ASSISTANT, None, 16_000))

    @property
    def signed_until(self) -> datetime | None:
        """It is not signed."""
        return None

    async def send(self, events: Sequence[InputEvent]) -> None:
        """Answer."""
        for _ in events:
            self._said.put_nowait(AudioOutput("stream", "prompt", "completion", "content", bytes(PIECE_BYTES)))

    async def receive(self) -> OutputEvent | None:
        """Return the next answer."""
        return await self._said.get()

    async def close(self) -> None:
        """End."""
        self._said.put_nowait(None)


class AnsweringModel:
    """Opens AnsweringStreams."""

    @property
    def model_id(self) -> str:
        """The model's id."""
        return DEFAULT_MODEL_ID

    async def open(self, opening: Sequence[InputEvent]) -> AnsweringStream:
        """Open one at once."""
        del opening
        return AnsweringStream()


class NoTools:
    """There are none."""

    def specs(self, names: Sequence[str]) -> tuple[ToolSpec, ...]:
        """Return nothing."""
        del names
        return ()

    async def run(
        self, *, session_id: str, tool_use_id: str, name: str, arguments: str, caller: str = "", patient_id: str = ""
    ) -> ToolOutcome:
        """Run nothing."""
        raise NotImplementedError

    def forget(self, session_id: str) -> None:
        """Forget nothing."""


class Monotonic:
    """The system's clock."""

    def now(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run, in microseconds per piece of audio that was sent and answered."""

    loop_us: float
    """CPU of the event loop's thread."""
    all_us: float
    """CPU of the process."""


async def run_session(recorder: TraceFiles | None) -> Cost:
    """Run one session and return what it cost."""
    registry = SessionRegistry(
        model=AnsweringModel(),
        tools=NoTools(),
        assistants={"bench": PROFILE},
        default_assistant="bench",
        observers=(),
        clock=Monotonic(),
        max_sessions=1,
        recorder=recorder,
    )
    runner = registry.open(Start(output_hertz=16_000))
    task = asyncio.create_task(registry.run(runner))
    while not isinstance(await runner.next_event(), SessionStarted):
        pass
    in_thread, in_all = time.thread_time(), time.process_time()
    for number in range(PIECES):
        await runner.submit(SendAudio(bytes(PIECE_BYTES)))
        if number % PAUSE_EVERY == 0:
            await asyncio.sleep(0.002)  # the thread writes meanwhile
    cost = Cost((time.thread_time() - in_thread) / PIECES * 1e6, 0.0)
    await runner.submit(End())
    await task
    if recorder is not None:
        await asyncio.to_thread(recorder.close)
    return Cost(cost.loop_us, (time.process_time() - in_all) / PIECES * 1e6)


def run_once(folder: Path, every: int | None) -> tuple[Cost, int]:
    """Return the cost of a run, and the size of its file."""
    files = None if every is None else TraceFiles(folder, every=every)
    if files is not None:
        files.start()
    cost = uvloop.run(run_session(files))
    return cost, sum(file.stat().st_size for file in folder.glob("*"))


def least(costs: Sequence[Cost]) -> Cost:
    """Return the least of each."""
    return Cost(min(cost.loop_us for cost in costs), min(cost.all_us for cost in costs))


def main() -> int:
    """Measure, and return 1 when recording costs too much."""
    argparse.ArgumentParser(prog="python -m bench.recording").parse_args()
    costs: dict[int | None, list[Cost]] = {None: [], 0: [], 1: []}
    size = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(RUNS):
            for every, runs in costs.items():  # by turns, so that a busy moment concerns all
                cost, size = run_once(Path(folder) / f"{number}-{every}", every)
                runs.append(cost)
    without, off, recorded = map(least, costs.values())
    # A piece and its answer are two pieces of audio.
    figures = {
        "pieces": PIECES * 2 * RUNS,
        "without_us": round(without.all_us / 2, 2),
        "off_adds_us": round((off.all_us - without.all_us) / 2, 2),
        "recorded_adds_us": round((recorded.all_us - without.all_us) / 2, 2),
        "recorded_adds_to_the_loop_us": round((recorded.loop_us - without.loop_us) / 2, 2),
        "file_bytes_a_minute": round(size / (PIECES * PIECE_SECONDS) * 60),
    }
    holds = (recorded.all_us - without.all_us) / 2 < LIMIT_US
    print(json.dumps({**figures, "limit_us": LIMIT_US, "holds": holds}))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
