"""A small OpenAI-compatible server that answers what the test wrote."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from tests.emulator.wire import Json
from tests.loopback import serving

HANG = b""
"""Instead of a piece: nothing more comes, and the connection stays open."""


def event(body: object) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def delta(**members: object) -> bytes:
    return event({"choices": [{"index": 0, "delta": members, "finish_reason": None}]})


def text(*pieces: str) -> list[bytes]:
    """Return the events of an answer in words."""
    return [*(delta(content=piece) for piece in pieces), finish("stop")]


def finish(reason: str) -> bytes:
    return event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}) + b"data: [DONE]\n\n"


def call(index: int, identifier: str, name: str, arguments: str) -> bytes:
    function = {"name": name, "arguments": arguments}
    return delta(tool_calls=[{"index": index, "id": identifier, "type": "function", "function": function}])


def more(index: int, arguments: str) -> bytes:
    return delta(tool_calls=[{"index": index, "function": {"arguments": arguments}}])


@dataclass(frozen=True)
class Answer:
    """One answer of the server."""

    pieces: Sequence[bytes] = ()
    status: int = 200
    content_type: str = "text/event-stream"


@dataclass
class ChatServer:
    """What was asked, and what is answered; after the last answer it is said again."""

    answers: list[Answer]
    url: str = ""
    asked: list[Json] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    heard: list[dict[str, object]] = field(default_factory=list)
    transcription: Answer = field(default_factory=Answer)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client has gone away before the end of an answer."""

    async def complete(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self.was_asked.set()
        self.authorizations.append(request.headers.get("authorization"))
        return await self._send(request, self.answers[min(len(self.asked), len(self.answers)) - 1])

    async def transcribe(self, request: web.Request) -> web.StreamResponse:
        fields = await request.post()
        self.heard.append({name: field.file.read() if isinstance(field, web.FileField) else field for name, field in fields.items()})
        self.authorizations.append(request.headers.get("authorization"))
        return await self._send(request, self.transcription)

    async def _send(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers={"content-type": answer.content_type, "location": "/elsewhere"})
        try:
            if answer.pieces[:1] == [HANG]:
                await asyncio.Event().wait()
            await response.prepare(request)
            for piece in answer.pieces:
                if piece == HANG:
                    await asyncio.Event().wait()
                await response.write(piece)
            await response.write_eof()
        except (asyncio.CancelledError, ConnectionError):
            self.dropped.set()
            raise
        return response


@contextlib.asynccontextmanager
async def chat_server(*answers: Answer | list[bytes]) -> AsyncIterator[ChatServer]:
    server = ChatServer([answer if isinstance(answer, Answer) else Answer(answer) for answer in answers])
    application = web.Application()
    application.router.add_post("/v1/chat/completions", server.complete)
    application.router.add_post("/v1/audio/transcriptions", server.transcribe)
    async with serving(application) as address:
        server.url = f"{address}/v1"
        yield server
