"""The server as a process in front of a model in the test's own process: what goes wrong there is chosen stream by stream."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from bench.positions import coded_speech
from nova_sonic_local.brains.interface import Listener, Reply, UserTurn
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.server.process import WITHOUT_AWS, running

POLL_SECONDS = 0.05
"""Another process has no event to wait for."""


class ObedientBrain:
    """Does what is typed: `call [[name, arguments], ...]` calls tools, `count 5 [...]` speaks five seconds of coded sound as well."""

    def __init__(self, results: list[Mapping[str, object]]) -> None:
        self._results = results

    def listen(self) -> Listener | None:
        """Need no words."""
        return None

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        """Do it; anything else is said back."""
        order, _, rest = (turn.text or "").partition(" ")
        if order == "count":
            seconds, _, calls = rest.partition(" ")
            speech = coded_speech(round(float(seconds) * 16_000))
            await asyncio.gather(self._call(calls, reply), reply.play(speech, "Counting."))
        elif order == "call":
            await self._call(rest, reply)
        elif order == "Note":  # the server wants the caller to be told that a tool takes its time
            await reply.say("One moment.")
        else:
            await reply.say(f"You said {turn.text}.")

    async def close(self) -> None:
        """Hold nothing."""

    async def _call(self, calls: str, reply: Reply) -> None:
        self._results += await reply.call_tools([(name, arguments) for name, arguments in json.loads(calls or "[]")])


@dataclass(slots=True)
class Model:
    """A model that can be told what to do wrong."""

    port: int = 0
    brain: str | None = None
    """echo; None is the obedient brain."""
    ca_dir: Path = Path()
    fault: str = ""
    """Of the next stream alone."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a stream took the fault."""
    results: list[Mapping[str, object]] = field(default_factory=list)
    """What the model was told by tools."""

    def options(self) -> Options:
        """Return the emulator's options."""
        brain = self.brain or (lambda _prompt: ObedientBrain(self.results))
        return Options(port=self.port, brain=brain, ca_dir=self.ca_dir, max_streams=60, fault=self._take_fault)

    def _take_fault(self) -> str:
        fault, self.fault = self.fault, ""
        self.asked.set()
        return fault


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    process: asyncio.subprocess.Process
    url: str
    log_file: Path

    def log(self, event: str = "") -> list[dict[str, object]]:
        """Return all log lines of an event."""
        lines = [json.loads(line) for line in self.log_file.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
        return [line for line in lines if not event or line["event"] == event]

    async def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> bool:
        """Look until the condition is true; False when the time is over."""
        for _ in range(round(seconds / POLL_SECONDS)):
            if await asyncio.to_thread(condition):
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False

    def get(self, path: str) -> tuple[int, dict[str, object]]:
        """Ask over HTTP; blocks."""
        try:
            with urlopen(self.url.replace("ws:", "http:") + path, timeout=10) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)

    def sessions(self) -> object:
        """Return how many live."""
        return self.get("health")[1]["sessions"]

    def open_files(self) -> int:
        """Return how many descriptors the process holds."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def threads(self) -> int:
        """Return how many threads the process has."""
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))


@asynccontextmanager
async def serving(folder: Path, emulator: NovaSonicLocal, settings: Mapping[str, str] | None = None, *flags: str) -> AsyncIterator[Server]:
    """Run a server on this model for the length of the block."""
    own = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.endpoint, "BEDROCK_CA_FILE": str(emulator.ca_file)}
    own |= {"LOG_FORMAT": "json", "DNI_SALT": "a-salt-that-is-only-for-tests", "MAX_SESSIONS": "60"}
    async with running(folder, {**WITHOUT_AWS, **own, **(settings or {})}, *flags) as (process, line):
        port = re.search(r":(\d+)/", line)
        assert port
        yield Server(process, f"ws://127.0.0.1:{port[1]}/", folder / "server.log")


@asynccontextmanager
async def desk(
    folder: Path, model: Model, settings: Mapping[str, str] | None = None, *flags: str
) -> AsyncIterator[tuple[Server, NovaSonicLocal]]:
    """Run a model and a server in front of it."""
    model.ca_dir = folder
    async with NovaSonicLocal(model.options()) as emulator, serving(folder, emulator, settings, *flags) as server:
        yield server, emulator
