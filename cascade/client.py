"""Opens streams of a cascade (session.interfaces.ModelClient)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4
from weakref import WeakSet

from cascade.interfaces import Request, Transcriber, Voice, Writer
from cascade.opening import read_opening
from cascade.stream import CascadeStream, Services
from cascade.turn_taking import TurnTaking
from cascade.voices import CASTINGS
from s2s import failures
from s2s.events import InferenceConfiguration, InputEvent
from s2s.limits import STRICT, TextProfile
from s2s.models import CASCADE_MODEL_ID, ModelCapabilities, capabilities
from s2s.protocol import StreamProtocol

OPENING_SECONDS: Final = 2.8
"""From nothing to a recogniser that hears, connecting included: whatever fails, a user is told within 3 s."""
TRY_OUT_VOICE: Final = "matthew"


@dataclass(frozen=True, slots=True)
class Crew:
    """The three services."""

    transcriber: Transcriber
    writer: Writer
    voice: Voice


class CascadeClient:
    """A model put together of three services. Belongs to one event loop; close it with aclose.

    Args:
        crew: the services.
        closing: closes them, after the streams.
        opening_seconds: how long an opening may take.
        text_profile: how much text a stream may be given.
        new_id: makes an id that was never used before.
    """

    def __init__(
        self,
        crew: Crew,
        closing: Sequence[Callable[[], Awaitable[None]]] = (),
        *,
        opening_seconds: float = OPENING_SECONDS,
        text_profile: TextProfile = STRICT,
        new_id: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        self._crew = crew
        self._close_crew = tuple(closing)
        self._opening_seconds = opening_seconds
        self._text_profile = text_profile
        self._new_id = new_id
        self._streams: WeakSet[CascadeStream] = WeakSet()

    @property
    def model_id(self) -> str:
        """Return the id that stands for a cascade among the models."""
        return CASCADE_MODEL_ID

    @property
    def capabilities(self) -> ModelCapabilities:
        """Return what the model can do."""
        return capabilities(CASCADE_MODEL_ID)

    async def open(self, opening: Sequence[InputEvent]) -> CascadeStream:
        """Open a stream; return when the recogniser hears.

        Raises:
            ModelError: refused, unreachable, or not answered in time.
            LocalProtocolError: the opening breaks a rule of the stream; nothing was sent.
        """
        protocol = StreamProtocol(self.capabilities, self._text_profile)
        protocol.send_group(opening)
        told, rest = read_opening(opening)
        language = CASTINGS[told.voice_id].language  # the protocol has refused any other voice
        try:
            async with asyncio.timeout(self._opening_seconds):
                transcription = await self._crew.transcriber.open(language, told.input_hertz)
        except TimeoutError:
            raise failures.OPENING_TIMEOUT.error(f"no answer within {self._opening_seconds:g} s") from None
        services = Services(transcription, self._crew.writer, self._crew.voice)
        stream = CascadeStream(told, protocol, services, TurnTaking(told, self._new_id))
        self._streams.add(stream)
        try:
            await stream.start(rest)
        except BaseException:
            await stream.close()
            raise
        return stream

    async def ping(self) -> None:
        """Find out whether a stream could be opened: there are credentials, and what hears and what writes can be reached.

        Raises:
            ModelError: it could not.
        """
        await self._crew.transcriber.reach()
        await self._crew.writer.reach()

    async def try_out(self) -> None:
        """Use each service once, for a word: signature, access, region and model are right. The services bill it.

        Raises:
            ModelError: they are not.
        """
        transcription = await self._crew.transcriber.open(CASTINGS[TRY_OUT_VOICE].language, 16_000)
        await transcription.close()
        request = Request("", ({"role": "user", "content": [{"text": "Say yes."}]},), inference=InferenceConfiguration(max_tokens=8))
        async for _ in self._crew.writer.reply(request):
            pass
        async for _ in self._crew.voice.speak("Yes.", TRY_OUT_VOICE, 16_000):
            pass

    async def aclose(self) -> None:
        """Close all streams and connections. Returns in bounded time."""
        await asyncio.gather(*(stream.close() for stream in list(self._streams)))
        await asyncio.gather(*(close() for close in self._close_crew))
