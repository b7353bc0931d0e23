"""Asks an OpenAI-compatible chat endpoint, and returns its answer in pieces while it is being written.

Servers differ in small things: some answer in one piece though asked to stream, some number all parallel tool calls 0, some leave the
numbers out, some end without [DONE]. All that is read here.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import aiohttp
import orjson

from nova_sonic_local.brains.chat_settings import ChatSettings
from nova_sonic_local.brains.server_sent_events import EventDecoder, EventTooLarge

type Json = Mapping[str, object]

LARGEST_ANSWER_BYTES: Final = 4 * 1024 * 1024
"""More than any answer that somebody would listen to, in the wordy form of its events."""
_CURES: Final = {
    HTTPStatus.UNAUTHORIZED: "it does not take the key: see --chat-key-file",
    HTTPStatus.FORBIDDEN: "it does not take the key: see --chat-key-file",
    HTTPStatus.NOT_FOUND: "there is no such model, or no API under this URL: see --chat-model and --chat-url",
    HTTPStatus.TOO_MANY_REQUESTS: "too many requests",
}


class ChatFailed(Exception):
    """The endpoint did not answer as it should; the text is the cause, and holds nothing that was said and no secret."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model wants called."""

    id: str
    name: str
    arguments: str
    """JSON, if the model wrote it well."""


class ToolCalls:
    """Puts tool calls together from their fragments."""

    def __init__(self) -> None:
        self._calls: list[list[str]] = []
        self._places: dict[object, int] = {}

    def add(self, fragment: Json) -> None:
        """Take the next fragment: the index says to which call it belongs, a new id that another call begins."""
        index, identifier = fragment.get("index", 0), _text(fragment.get("id"))
        function = _object(fragment.get("function"))
        place = self._places.get(index)
        if place is None or (identifier and self._calls[place][0] not in ("", identifier)):
            place = self._places[index] = len(self._calls)
            self._calls.append(["", "", ""])
        arguments = function.get("arguments")
        call = self._calls[place]
        call[0] = identifier or call[0]
        call[1] += _text(function.get("name"))
        call[2] += orjson.dumps(arguments).decode() if isinstance(arguments, dict) else _text(arguments)

    def finished(self) -> tuple[ToolCall, ...]:
        """Return the calls, each with an id."""
        return tuple(ToolCall(key or f"call_{number}", name, written or "{}") for number, (key, name, written) in enumerate(self._calls))


class Completions:
    """One endpoint.

    Args:
        settings: where it is.
        http: carries the requests.
    """

    def __init__(self, settings: ChatSettings, http: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._http = http

    async def stream(self, messages: Sequence[Json], tools: Sequence[Json]) -> AsyncGenerator[str | tuple[ToolCall, ...]]:
        """Ask, and yield the text in pieces, then the tool calls, if there are any. Close it to drop the request.

        Raises:
            ChatFailed: there is no answer, or no whole one.
        """
        body: dict[str, object] = {"model": self._settings.model, "messages": list(messages), "stream": True}
        if tools:
            body["tools"] = list(tools)
        calls, is_complete = ToolCalls(), False
        async with aclosing(self._events(body)) as events:
            async for event in events:
                if event is None:
                    is_complete = True
                    break
                for choice in _objects(event.get("choices")):
                    delta = _object(choice.get("delta") or choice.get("message"))
                    for fragment in _objects(delta.get("tool_calls")):
                        calls.add(fragment)
                    if text := _text(delta.get("content")):
                        yield text
                    is_complete = is_complete or choice.get("finish_reason") is not None
        if not is_complete:
            raise ChatFailed("ended in the middle of its answer")
        if finished := calls.finished():
            yield finished

    async def _events(self, body: Json) -> AsyncGenerator[Json | None]:
        """Yield the objects of an answer, and None at its marked end."""
        response = await self._post(body)
        try:
            if response.status != HTTPStatus.OK:
                raise ChatFailed(_status_line(response.status))
            if response.content_type == "application/json":
                yield _event(b"".join([data async for data in self._pieces(response)]))
                return
            decoder = EventDecoder()
            async for data in self._pieces(response):
                for event in decoder.feed(data):
                    yield None if event.strip() == b"[DONE]" else _event(event)
        except EventTooLarge:
            raise ChatFailed("sent an event without end") from None
        finally:
            response.close()

    async def _post(self, body: Json) -> aiohttp.ClientResponse:
        headers = {"content-type": "application/json", "accept": "text/event-stream"}
        if self._settings.key:
            headers["authorization"] = f"Bearer {self._settings.key}"
        url = f"{self._settings.url.rstrip('/')}/chat/completions"
        try:
            async with asyncio.timeout(self._settings.patience_seconds):
                return await self._http.post(url, data=orjson.dumps(body), headers=headers, allow_redirects=False)
        except aiohttp.ClientError as error:
            raise ChatFailed(f"cannot be reached: {str(error) or type(error).__name__}") from None
        except TimeoutError:
            raise ChatFailed(f"did not answer within {self._settings.patience_seconds:g} s") from None

    async def _pieces(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        size = 0
        while True:
            try:
                async with asyncio.timeout(self._settings.patience_seconds):
                    data = await response.content.readany()
            except aiohttp.ClientError as error:
                raise ChatFailed(f"broke off: {type(error).__name__}") from None
            except TimeoutError:
                raise ChatFailed(f"fell silent for {self._settings.patience_seconds:g} s") from None
            if not data:
                return
            size += len(data)
            if size > LARGEST_ANSWER_BYTES:
                raise ChatFailed("does not end its answer")
            yield data


def _status_line(status: int) -> str:
    cure = _CURES.get(HTTPStatus(status), "") if status in HTTPStatus else ""
    return f"answered HTTP {status}{': ' * bool(cure)}{cure}"


def _event(data: bytes) -> Json:
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise ChatFailed("sent what is no JSON") from None
    if not isinstance(event, dict):
        raise ChatFailed("sent something else than a completion")
    if event.get("error"):
        raise ChatFailed("reported an error in the middle of its answer")
    return event


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
