"""The chat brain: an OpenAI-compatible chat endpoint, such as a language model on this machine, does the thinking.

It gets the system prompt, the history, the turns and the tools of the client. What it writes is spoken sentence by sentence while it is
still writing; the tools that it wants go to the client, all at once. An interruption drops the request.
"""

import datetime as dt
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import orjson

from nova_sonic_local.brains.chat_settings import ChatSettings
from nova_sonic_local.brains.completions import ChatFailed, Completions, Json, ToolCall
from nova_sonic_local.brains.ears import Ear, NoEar, ScenarioEars, TranscriptionEar
from nova_sonic_local.brains.interface import Listener, PastTurn, Prompt, Reply, Tool, UserTurn
from nova_sonic_local.brains.sentences import Sentences

_log = logging.getLogger(__name__)

MOST_ROUNDS: Final = 8
"""Times in one turn that the model may ask for tools; then it has to answer with what it has."""
MOST_TURNS: Final = 100
"""Turns that are remembered."""
NOT_UNDERSTOOD: Final = "(speech that was not understood)"
"""Stands for what the user said when nobody could write it down."""
FAILURE: Final = "I am sorry, my language model does not answer. Please try again later."
_UNFINISHED = "..."
"""Ends what the model said before the user interrupted, so that it knows."""


@dataclass(slots=True)
class Exchange:
    """What was said in one turn of the user, with the tools in between, as the endpoint wants it."""

    messages: list[Json]

    def whole(self) -> list[Json]:
        """Return the messages with a result for every tool call, as endpoints demand: some may be under way still."""
        answered = {message.get("tool_call_id") for message in self.messages}
        whole: list[Json] = []
        for message in self.messages:
            calls = message.get("tool_calls")
            waiting = [call["id"] for call in calls if call["id"] not in answered] if isinstance(calls, list) else []
            whole += [message, *(_result(call_id, {"status": "there is no result yet"}) for call_id in waiting)]
        return whole

    def add_speech(self, text: str, calls: Sequence[ToolCall] = ()) -> None:
        """Add what the assistant said and wants called, in one message with what it said just before."""
        last = self.messages[-1]
        if last["role"] == "assistant" and "tool_calls" not in last:
            text = f"{last['content']} {text}".strip()
            self.messages.pop()
        message: dict[str, object] = {"role": "assistant", "content": text}
        if calls:
            message["tool_calls"] = [_as_message(call) for call in calls]
        self.messages.append(message)


class ChatBrain:
    """Answers one stream.

    Args:
        prompt: of the client.
        completions: the endpoint.
        ear: understands speech.
        place: names the endpoint in the log.
    """

    def __init__(self, prompt: Prompt, completions: Completions, ear: Ear, place: str) -> None:
        self._tools = prompt.tools
        self._tool_specs = [_spec(tool) for tool in prompt.tools.values()]
        self._completions = completions
        self._ear = ear
        self._place = place
        self._beginning: list[Json] = [{"role": "system", "content": prompt.system}] if prompt.system else []
        self._beginning += [{"role": role.lower(), "content": text} for role, text in prompt.history]
        self._exchanges: deque[Exchange] = deque(maxlen=MOST_TURNS)
        self._recalled: Exchange | None = None

    def listen(self) -> Listener | None:
        """Return what recognises the turn that begins now."""
        return self._ear.listen()

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        """Let the model answer a turn; say so when it does not, and log why."""
        exchange, self._recalled = self._recalled or Exchange([{"role": "user", "content": turn.text or NOT_UNDERSTOOD}]), None
        self._exchanges.append(exchange)
        try:
            await self._converse(exchange, reply)
        except ChatFailed as error:
            _log.warning("the chat endpoint %s %s", self._place, error)
            exchange.add_speech(FAILURE)
            await reply.say(FAILURE)

    def recall(self, turns: Sequence[PastTurn]) -> None:
        """Take over what was said; the last turn is to be answered next."""
        self._exchanges.extend(_recalled(turn) for turn in turns[:-1])
        self._recalled = _recalled(turns[-1], is_open=True)

    async def close(self) -> None:
        """Wait for what is under way."""
        await self._ear.close()

    async def _converse(self, exchange: Exchange, reply: Reply) -> None:
        for _ in range(MOST_ROUNDS):
            calls = await self._speak(exchange, reply, self._tool_specs)
            if not calls:
                return
            await self._call(exchange, reply, calls)
        if await self._speak(exchange, reply, ()):
            raise ChatFailed("asks for tools without end")

    async def _speak(self, exchange: Exchange, reply: Reply, tools: Sequence[Json]) -> tuple[ToolCall, ...]:
        """Say what the model writes, and return the tool calls that it ends with."""
        others = [message for other in self._exchanges if other is not exchange for message in other.whole()]
        sentences, said, calls, end = Sentences(), list[str](), tuple[ToolCall, ...](), [_UNFINISHED]
        try:
            async with aclosing(self._completions.stream([*self._beginning, *others, *exchange.whole()], tools)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, tuple):
                        calls = piece
                    else:
                        await _say(sentences.feed(piece), said, reply)
            await _say(sentences.finish(), said, reply)
            end = []
        finally:
            exchange.add_speech(" ".join([*said, *end]), calls)
        if not said and not calls:
            raise ChatFailed("answered with nothing")
        return calls

    async def _call(self, exchange: Exchange, reply: Reply, calls: Sequence[ToolCall]) -> None:
        """Have the client call the tools that it has, all at once."""
        known = [call for call in calls if call.name in self._tools]
        results = await reply.call_tools([(call.name, call.arguments) for call in known]) if known else []
        by_id = {call.id: result for call, result in zip(known, results, strict=True)}
        for call in calls:
            exchange.messages.append(_result(call.id, by_id.get(call.id, {"error": "there is no such tool"})))


async def _say(sentences: Sequence[str], said: list[str], reply: Reply) -> None:
    for sentence in sentences:
        said.append(sentence)
        await reply.say(sentence)


def _recalled(turn: PastTurn, *, is_open: bool = False) -> Exchange:
    """Return a turn as the endpoint wants it; what was said in an open one, was said before its tools were called."""
    exchange = Exchange([{"role": "user", "content": turn.text}])
    if turn.answers:
        calls = tuple(ToolCall(answer.use_id, answer.name, orjson.dumps(answer.arguments).decode()) for answer in turn.answers)
        exchange.add_speech(" ".join(turn.said) if is_open else "", calls)
        exchange.messages += [_result(answer.use_id, answer.result) for answer in turn.answers]
    if turn.said and not (is_open and turn.answers):
        exchange.add_speech(" ".join(turn.said))
    return exchange


def _spec(tool: Tool) -> Json:
    schema = tool.schema or {"type": "object", "properties": {}}
    return {"type": "function", "function": {"name": tool.name, "description": tool.description, "parameters": schema}}


def _as_message(call: ToolCall) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _valid_json(call.arguments)}}


def _valid_json(text: str) -> str:
    """Return JSON as it is, and an empty object for anything else: endpoints parse what they wrote themselves."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return "{}"
    return text


def _result(call_id: str, result: Json) -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": orjson.dumps(result).decode()}


class ChatBrains:
    """Makes the brains of one endpoint, and owns what they share: connections and recognisers. Close it at the end.

    Args:
        settings: where the endpoint is.
        scenario: whose phrases are recognised in speech; None for none.

    Raises:
        ScenarioError: the scenario is missing or wrong.
    """

    def __init__(self, settings: ChatSettings, scenario: Path | None = None) -> None:
        self._settings = settings
        self._scenario_ears = ScenarioEars(scenario, lambda: dt.datetime.now().astimezone().date()) if scenario is not None else None
        self._http: aiohttp.ClientSession | None = None
        if scenario is None and not settings.transcription_model:
            _log.warning("no speech is understood, only typed turns: give --chat-transcription-model or --scenario")

    def __call__(self, prompt: Prompt) -> ChatBrain:
        """Return a brain for a prompt; needs a running event loop."""
        if self._http is None:
            limits = aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_seconds)
            # No limit of connections: there are as many as answers under way, which the engine limits.
            self._http = aiohttp.ClientSession(timeout=limits, connector=aiohttp.TCPConnector(limit=0))
        completions = Completions(self._settings, self._http)
        return ChatBrain(prompt, completions, self._ear(self._http, prompt), self._settings.place)

    def _ear(self, http: aiohttp.ClientSession, prompt: Prompt) -> Ear:
        if self._settings.transcription_model:
            return TranscriptionEar(self._settings, http, prompt.input_hertz)
        return self._scenario_ears.open(prompt) if self._scenario_ears is not None else NoEar()

    async def aclose(self) -> None:
        """Close the connections and end the recognisers."""
        if self._http is not None:
            await self._http.close()
        if self._scenario_ears is not None:
            await self._scenario_ears.aclose()
