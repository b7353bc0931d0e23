"""How the chat brain learns what was spoken: from a transcription endpoint, by the phrases of a scenario, or not at all."""

import asyncio
import io
import logging
import wave
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

import aiohttp
import orjson

from nova_sonic_local.brains.chat_settings import ChatSettings
from nova_sonic_local.brains.demo import choose_language
from nova_sonic_local.brains.hearing import hearing_grammar
from nova_sonic_local.brains.intents import Understanding
from nova_sonic_local.brains.interface import Listener, Prompt
from nova_sonic_local.brains.scenario import load_scenario
from nova_sonic_local.speech.grammar import Grammar
from nova_sonic_local.speech.moments import Today
from nova_sonic_local.speech.recogniser import Recogniser, RecogniserUnavailable, SpeechListener

_log = logging.getLogger(__name__)


class Ear(Protocol):
    """Hears one stream."""

    def listen(self) -> Listener | None:
        """Return what recognises the turn that begins now."""

    async def close(self) -> None:
        """Wait for what is under way."""


class NoEar:
    """Understands no speech; typed turns need no ear."""

    def listen(self) -> Listener | None:
        """Return nothing."""
        return None

    async def close(self) -> None:
        """Do nothing: nothing is held."""


class TranscriptionEar:
    """Lets an OpenAI-compatible endpoint write down each turn.

    Args:
        settings: where it is.
        http: carries the requests.
        hertz: of the audio.
    """

    def __init__(self, settings: ChatSettings, http: aiohttp.ClientSession, hertz: int) -> None:
        self._settings = settings
        self._http = http
        self._hertz = hertz

    def listen(self) -> Listener | None:
        """Return a listener that sends the turn at its end."""
        return _Dictation(self)

    async def transcribe(self, pcm: bytes) -> str | None:
        """Return what was said, or None when the endpoint heard nothing or failed, which is logged."""
        form = aiohttp.FormData()
        form.add_field("model", self._settings.transcription_model)
        form.add_field("response_format", "json")
        form.add_field("file", _wav(pcm, self._hertz), filename="turn.wav", content_type="audio/wav")
        headers = {"authorization": f"Bearer {self._settings.hearing_key}"} if self._settings.hearing_key else {}
        url = f"{self._settings.hearing_url.rstrip('/')}/audio/transcriptions"
        try:
            async with (
                asyncio.timeout(self._settings.patience_seconds),
                self._http.post(url, data=form, headers=headers, allow_redirects=False) as response,
            ):
                if response.status != HTTPStatus.OK:
                    _log.warning("the transcription endpoint answered HTTP %d", response.status)
                    return None
                answer = await response.json(content_type=None, loads=orjson.loads)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            _log.warning("the transcription endpoint failed: %s", type(error).__name__)
            return None
        text = answer.get("text") if isinstance(answer, dict) else None
        return text.strip() or None if isinstance(text, str) else None

    async def close(self) -> None:
        """Do nothing: nothing is held."""


class _Dictation:
    """Keeps one turn; the engine keeps it within two minutes."""

    def __init__(self, ear: TranscriptionEar) -> None:
        self._ear = ear
        self._pcm = bytearray()

    async def feed(self, pcm: bytes) -> None:
        """Keep the next piece."""
        self._pcm += pcm

    async def finish(self) -> str | None:
        """Have it transcribed."""
        return await self._ear.transcribe(bytes(self._pcm))


def _wav(pcm: bytes, hertz: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(hertz)
        writer.writeframes(pcm)
    return file.getvalue()


class ScenarioEar:
    """Recognises the phrases of a scenario.

    Args:
        recogniser: of the language.
        grammar: what can be said.
        hertz: of the audio.
    """

    def __init__(self, recogniser: Recogniser, grammar: Grammar, hertz: int) -> None:
        self._recogniser = recogniser
        self._grammar = grammar
        self._hertz = hertz
        self._preparing = asyncio.create_task(self._prepare())

    async def _prepare(self) -> None:
        """Let the recogniser learn the grammar before the first turn."""
        try:
            await self._recogniser.prepare(self._grammar)
        except (RecogniserUnavailable, OSError) as error:
            _log.warning("%s", error)

    def listen(self) -> Listener | None:
        """Return a recogniser for the turn that begins now."""
        return SpeechListener(self._recogniser, self._grammar, self._hertz)

    async def close(self) -> None:
        """Wait until the recogniser is ready; it goes on for the next stream."""
        await asyncio.wait([self._preparing])


class ScenarioEars:
    """Makes the ears of one scenario; owns the recogniser processes, which streams share.

    Args:
        path: of the scenario.
        today: tells the day from which "tomorrow" counts.

    Raises:
        ScenarioError: the file is missing or wrong.
    """

    def __init__(self, path: Path, today: Today) -> None:
        self._scenario = load_scenario(path)
        tools = frozenset(intent.tool for intent in self._scenario.intents)
        self._grammars: Mapping[str, Grammar] = {
            language: hearing_grammar(Understanding(self._scenario, language, tools, today)) for language in self._scenario.languages
        }
        self._recognisers = {language: Recogniser(language) for language in self._scenario.languages}

    def open(self, prompt: Prompt) -> ScenarioEar:
        """Return an ear for the language of a prompt; needs a running event loop."""
        language = choose_language(self._scenario, prompt)
        return ScenarioEar(self._recognisers[language], self._grammars[language], prompt.input_hertz)

    async def aclose(self) -> None:
        """End the recogniser processes."""
        for recogniser in self._recognisers.values():
            await recogniser.close()
