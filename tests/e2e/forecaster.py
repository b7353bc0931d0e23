"""A model that asks its caller's own application for the weather when somebody speaks, and does what is typed."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from nova_sonic_local.brains.interface import Brain, Prompt, Reply, UserTurn
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.e2e.desk import Server, serving
from tests.e2e.speech import Utterance, resampled, silence, speak

HERTZ = 24_000
ASKING = Utterance("es-419", "Quiero consultar el pedido número uno, mi DNI es uno dos tres cuatro cinco seis siete ocho")
WEATHER_TOOL: dict[str, object] = {
    "type": "function",
    "name": "getWeather",
    "description": "Tell the weather at a place.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"], "additionalProperties": False},
}


class Forecaster:
    """Understands no speech, but hears that there was some."""

    def listen(self) -> None:
        """Need no words."""
        return

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        """Ask for the weather, tell a long story, or say what was typed."""
        if turn.text is None:
            (weather,) = await reply.call_tools([("getWeather", {"place": "Lima"})])
            await reply.say(f"In Lima it is {weather.get('degrees', weather.get('error'))}.")
        elif turn.text == "story":
            for number in range(8):
                await reply.say(f"This is sentence number {number + 1} of a story that nobody wants to hear to its end.")
        elif turn.text.startswith("Note"):  # the server wants the caller to be told that a tool takes its time
            await reply.say("One moment.")
        else:
            await reply.say(f"You wrote {turn.text}.")

    async def close(self) -> None:
        """Hold nothing."""


class Newsroom:
    """Does what the present tools allow: hands over to the reporter, or has the news told.

    Args:
        prompt: of the stream.
    """

    def __init__(self, prompt: Prompt) -> None:
        self._tools = prompt.tools

    def listen(self) -> None:
        """Need no words."""
        return

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        """Call the tool that there is for what was typed."""
        if turn.text == "transfer":
            await reply.call_tools([("transfer_to_Reporter", {})])
            await reply.say("The reporter takes over.")
        elif turn.text == "news" and "tellNews" in self._tools:
            (news,) = await reply.call_tools([("tellNews", {"place": "Lima"})])
            await reply.say(f"The headline is {news.get('headline')}")
        else:
            await reply.say("Please wait.")

    async def close(self) -> None:
        """Hold nothing."""


def pcm(utterance: Utterance) -> bytes:
    """Return the utterance as these clients' microphones send it."""
    return bytes(HERTZ) + resampled(speak(utterance), HERTZ).astype("<i2").tobytes()


def room(seconds: float) -> bytes:
    """Return a quiet room."""
    return resampled(silence(seconds), HERTZ).astype("<i2").tobytes()


@asynccontextmanager
async def forecasting(folder: Path, brain: Callable[[Prompt], Brain] = lambda _prompt: Forecaster()) -> AsyncIterator[Server]:
    """Run a server in front of such a model for the length of the block."""
    options = Options(brain=brain, ca_dir=folder)
    async with NovaSonicLocal(options) as emulator, serving(folder, emulator, {"CLIENT_TOOL_SECONDS": "5"}) as server:
        yield server
