"""The demo brain: understands the phrases of a scenario, spoken or typed, asks for what is missing, calls tools and tells their results."""

import asyncio
import datetime as dt
import logging
import re
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from nova_sonic_local.brains.dialogue import Call, Dialogue, Say
from nova_sonic_local.brains.hearing import dictation_grammar, hearing_grammar
from nova_sonic_local.brains.intents import Understanding
from nova_sonic_local.brains.interface import Listener, Prompt, Reply, UserTurn
from nova_sonic_local.brains.phrasing import Phrasing
from nova_sonic_local.brains.scenario import Scenario, built_in_scenarios, load_scenario
from nova_sonic_local.speech.moments import Today
from nova_sonic_local.speech.recogniser import Recogniser, RecogniserUnavailable, SpeechListener
from nova_sonic_local.speech.tokens import fold, tokenise

FINAL_MARKER = "[FINAL]"
"""Ends each reply when the system prompt asks for it."""

_POLYGLOT = frozenset(("matthew", "tiffany"))
"""Voices that speak any language (Amazon Nova 2 user guide, "Polyglot voices"): the system prompt decides."""

_DICTATED = re.compile(r'\bsay (?:this|only)\b[^"]*"([^"]{1,300})"', re.IGNORECASE)
"""What a client types to have a sentence said: the model does as it is told, and speaks it in its own voice."""

_DICTATION = re.compile(r"\btakes? dictation\b", re.IGNORECASE)
"""What a client's prompt says when it wants to read what is said, and no answer: everything may be said then, tools or not."""

_WORD = re.compile(r"\w+")
_log = logging.getLogger(__name__)


class DemoBrain:
    """Answers one stream.

    Args:
        scenario: What it can talk about.
        prompt: The client's prompt; its voice and system text choose the language, its tools what is offered.
        recognisers: Recogniser of each language, shared with other brains.
        today: Tells the day from which "tomorrow" counts.
    """

    def __init__(self, scenario: Scenario, prompt: Prompt, recognisers: Mapping[str, Recogniser], today: Today) -> None:
        language_id = choose_language(scenario, prompt)
        self._takes_dictation = _DICTATION.search(prompt.system) is not None
        heard = frozenset(intent.tool for intent in scenario.intents) if self._takes_dictation else frozenset(prompt.tools)
        self._understanding = Understanding(scenario, language_id, heard, today)
        phrasing = Phrasing(self._understanding.language, scenario.languages[language_id], today)
        self._dialogue = Dialogue(scenario, self._understanding, prompt.tools, phrasing)
        self._grammar = dictation_grammar(self._understanding) if prompt.hears_everything else hearing_grammar(self._understanding)
        self._marks_end = FINAL_MARKER in prompt.system
        self._hertz = prompt.input_hertz
        self._recogniser = recognisers[language_id]
        self._preparing: asyncio.Task[None] = asyncio.create_task(self._prepare())

    async def _prepare(self) -> None:
        """Start the recogniser and let it learn the grammar before the next turn begins, so that no turn waits for it."""
        try:
            if self._hertz:
                await self._recogniser.prepare(self._grammar)
        except (RecogniserUnavailable, OSError) as error:
            _log.warning("%s", error)

    @property
    def language(self) -> str:
        """Return the language of the conversation."""
        return self._understanding.language.id

    def listen(self) -> Listener | None:
        """Return a recogniser for the turn that begins now."""
        return SpeechListener(self._recogniser, self._grammar, self._hertz)

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        """Answer a turn: say something, or call a tool and tell its result.

        A client may type what to say while a tool runs; the task goes on as if that had not been.
        """
        if not turn.pcm and (dictated := _DICTATED.search(turn.text or "")):
            await self._say(reply, dictated[1])
            return
        if self._takes_dictation:
            await self._say(reply, "OK.")
            return
        step = self._dialogue.hear(turn.text)
        match step:
            case Say(text):
                await self._say(reply, text)
            case Call(tool, arguments):
                results = await reply.call_tools([(tool, arguments)])
                result: Mapping[str, object] = results[0] if results else {"success": False}
                await self._say(reply, self._dialogue.told(result).text)
            case _:
                assert_never(step)

    async def _say(self, reply: Reply, text: str) -> None:
        await self._expect_answer()
        await reply.say(f"{text} {FINAL_MARKER}" if self._marks_end else text)

    async def _expect_answer(self) -> None:
        """Listen for the answer to the question that is asked now."""
        grammar = hearing_grammar(self._understanding, self._dialogue.asked_for, self._dialogue.expected)
        if grammar != self._grammar:
            await asyncio.wait([self._preparing])  # an interruption must not cancel it
            self._grammar = grammar
            self._preparing = asyncio.create_task(self._prepare())

    async def close(self) -> None:
        """Wait for what is under way; the recogniser goes on for the next stream."""
        await asyncio.wait([self._preparing])


def choose_language(scenario: Scenario, prompt: Prompt) -> str:
    """Return the language of the voice; for a voice of many languages, or an unknown one, that of the system prompt."""
    by_voice = next((name for name, language in scenario.languages.items() if prompt.voice_id.casefold() in language.voices), None)
    if by_voice is not None and prompt.voice_id.casefold() not in _POLYGLOT:
        return by_voice
    words = [token.folded for token in tokenise(prompt.system)]
    hints = {name: {fold(hint) for hint in language.hints} for name, language in scenario.languages.items()}
    counts = {name: sum(word in known for word in words) for name, known in hints.items()}
    likeliest = max(counts, key=lambda name: (counts[name], name == by_voice, name == scenario.default_language))
    return likeliest if counts[likeliest] else by_voice or scenario.default_language


class DemoFactory:
    """Makes demo brains. Owns the recogniser processes, which the brains share: close it at the end.

    Args:
        scenario: For prompts that none of the others is made for.
        today: Tells the day.
        others: Each for the prompts of its persona.
    """

    def __init__(self, scenario: Scenario, today: Today, others: Sequence[Scenario] = ()) -> None:
        self.scenario = scenario
        self._others = tuple(others)
        self._today = today
        everything = (scenario, *self._others)
        self._recognisers = {language: Recogniser(language) for each in everything for language in each.languages}
        for each in everything:
            tools = frozenset(intent.tool for intent in each.intents)
            for language in each.languages:
                Understanding(each, language, tools, today)  # a wrong pattern is better told now than in a conversation

    def __call__(self, prompt: Prompt) -> DemoBrain:
        """Return a brain for a prompt; needs a running event loop."""
        words = {fold(word) for word in _WORD.findall(prompt.system)}  # tokens end where no utterance is as long
        played = (each for each in self._others if each.persona and words.issuperset(map(fold, each.persona)))
        scenario = next(played, self.scenario)
        known = tuple(intent for intent in scenario.intents if words.issuperset(map(fold, intent.knows)))
        return DemoBrain(replace(scenario, intents=known), prompt, self._recognisers, self._today)

    async def aclose(self) -> None:
        """End the recogniser processes."""
        for recogniser in self._recognisers.values():
            await recogniser.close()


def demo_factory(scenario_path: Path | None = None, today: Today | None = None) -> DemoFactory:
    """Return what makes a demo brain for a prompt.

    Args:
        scenario_path: A scenario file; None is the built-in ones.
        today: Tells today's date; by default the clock in the scenario's time zone.

    Raises:
        ScenarioError: The file is missing or wrong.

    """
    scenario, *others = built_in_scenarios() if scenario_path is None else (load_scenario(scenario_path),)
    return DemoFactory(scenario, today or _today_in(scenario.time_zone), others)


def _today_in(zone_name: str) -> Today:
    try:
        zone = zoneinfo.ZoneInfo(zone_name) if zone_name else None
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        zone = None  # a machine without time zone data: its own clock is the next best
    return lambda: dt.datetime.now(zone).astimezone(zone).date()
