"""A text model on Amazon Bedrock by its Converse API (cascade.interfaces.Writer), over HTTP/2.

Source: Amazon Bedrock API reference, Converse and ConverseStream.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import quote

import orjson

from cascade.calls import Calls, pieces
from cascade.faults import service_error
from cascade.interfaces import Reply, ReplyEnd, Request, TextPiece, ToolCall
from cascade.messages import ServiceMessage, read_message
from s2s import failures
from s2s.bedrock.event_stream import FramingError, MessageSplitter
from s2s.errors import CodecError
from s2s.events import ToolSpec
from s2s.wire import load_json

NAME: Final = "Converse"
SIGNING_NAME: Final = "bedrock"
FIRST_SECONDS: Final = 5.0
"""For the first words: a session takes a model that says nothing for 6 s as stuck."""
NEXT_SECONDS: Final = 5.0
COMPLETE_SECONDS: Final = 30.0
"""For a whole text."""
COMPLETE_TOKENS: Final = 1_024
COMPLETE_BYTES: Final = 256 * 1024
SCHEMA_BYTES: Final = 64 * 1024
ARGUMENTS_CHARACTERS: Final = 64 * 1024
MOST_BLOCKS: Final = 64
"""Of one answer."""


class Converse:
    """A text model.

    Args:
        calls: to Bedrock, for streams.
        model_id: of the text model, an inference profile or an ARN.
        patient: the same, with the time that a whole text takes; None for the first.
    """

    def __init__(self, calls: Calls, model_id: str, patient: Calls | None = None) -> None:
        self._calls = calls
        self._patient = patient or calls
        self._path = f"/model/{quote(model_id, safe='')}"

    async def reply(self, request: Request) -> AsyncGenerator[Reply]:
        """Yield the answer as it is written, ReplyEnd last; closing the generator gives it up.

        Raises:
            ModelError: it was refused, or failed in the middle.
        """
        headers = {"content-type": "application/json", "accept": "application/vnd.amazon.eventstream"}
        call = await self._calls.open(f"{self._path}/converse-stream", headers, orjson.dumps(request_body(request)))
        reader, splitter = ReplyReader(), MessageSplitter()
        async with aclosing(pieces(call, NAME, first_seconds=FIRST_SECONDS, next_seconds=NEXT_SECONDS)) as body:
            try:
                async for data in body:
                    for message in splitter.feed(data):
                        for reply in reader.take(read_message(message)):
                            yield reply
            except FramingError as error:
                raise failures.LOST.error(f"{NAME}: {error}") from error
        yield reader.end()

    async def complete(self, system: str, text: str) -> str:
        """Return an answer as a whole.

        Raises:
            ModelError: there is none.
        """
        body = {
            "system": [{"text": system}],
            "messages": [{"role": "user", "content": [{"text": text}]}],
            "inferenceConfig": {"maxTokens": COMPLETE_TOKENS},
        }
        headers = {"content-type": "application/json", "accept": "application/json"}
        call = await self._patient.open(f"{self._path}/converse", headers, orjson.dumps(body))
        answer = bytearray()
        async with aclosing(pieces(call, NAME, first_seconds=COMPLETE_SECONDS, next_seconds=NEXT_SECONDS)) as found:
            async for data in found:
                answer += data
                if len(answer) > COMPLETE_BYTES:
                    raise failures.INTERNAL.error(f"{NAME}: the answer has more than {COMPLETE_BYTES} bytes")
        return _text_of(bytes(answer))

    async def reach(self) -> None:
        """Make sure that the service can be reached.

        Raises:
            ModelError: it cannot.
        """
        await self._calls.reach()


def request_body(request: Request) -> dict[str, Any]:
    """Return the JSON of a request.

    Of the numbers of sampling only the temperature is told: newer models refuse one that names topP beside it.
    """
    body: dict[str, Any] = {
        "messages": list(request.messages),
        "inferenceConfig": {"maxTokens": int(request.inference.max_tokens), "temperature": request.inference.temperature},
    }
    if request.system:
        body["system"] = [{"text": request.system}]
    if request.tools:
        body["toolConfig"] = {"tools": [{"toolSpec": _spec(tool)} for tool in request.tools], **_choice(request.tool_choice)}
    return body


class ReplyReader:
    """Reads the events of one answer."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[str, str, list[str]]] = {}
        """Calls that are being written, by their block: id, name, pieces of the arguments."""
        self._stopped = ""
        self._usage = ReplyEnd()

    def take(self, message: ServiceMessage) -> Sequence[Reply]:
        """Return what a message tells.

        Raises:
            ModelError: it tells an error.
        """
        document = _document(message.payload)
        name, text = message.error
        if name:
            raise service_error(NAME, name, text or str(document.get("message") or ""))
        match message.event, document:
            case "contentBlockStart", {"contentBlockIndex": int(index), "start": {"toolUse": {"toolUseId": str(use), "name": str(tool)}}}:
                if len(self._calls) < MOST_BLOCKS:
                    self._calls[index] = (use, tool, [])
            case "contentBlockDelta", {"delta": {"text": str(words)}}:
                return (TextPiece(words),)
            case "contentBlockDelta", {"contentBlockIndex": int(index), "delta": {"toolUse": {"input": str(piece)}}}:
                if index in self._calls and sum(map(len, self._calls[index][2])) + len(piece) <= ARGUMENTS_CHARACTERS:
                    self._calls[index][2].append(piece)
            case "contentBlockStop", {"contentBlockIndex": int(index)} if index in self._calls:
                use, tool, written = self._calls.pop(index)
                return (ToolCall(use, tool, "".join(written) or "{}"),)
            case "messageStop", {"stopReason": str(reason)}:
                self._stopped = reason
            case "metadata", {"usage": {"inputTokens": int(taken), "outputTokens": int(given)}}:
                self._usage = ReplyEnd(taken, given)
            case _:  # messageStart, reasoning, and what is younger than this code
                pass
        return ()

    def end(self) -> ReplyEnd:
        """Return the end of the answer.

        Raises:
            ModelError: it has not come to its end.
        """
        if not self._stopped:
            raise failures.LOST.error(f"{NAME} ended the answer in the middle")
        return self._usage


def _spec(tool: ToolSpec) -> dict[str, Any]:
    try:
        schema = load_json(tool.input_schema, SCHEMA_BYTES)
    except CodecError:
        schema = None
    description = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **description, "inputSchema": {"json": schema if isinstance(schema, Mapping) else {"type": "object"}}}


def _choice(choice: str | None) -> dict[str, Any]:
    if choice in (None, "auto"):
        return {}
    return {"toolChoice": {"any": {}} if choice == "any" else {"tool": {"name": choice}}}


def _document(payload: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(payload) if payload else {}
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _text_of(answer: bytes) -> str:
    match _document(answer):
        case {"output": {"message": {"content": list(blocks)}}}:
            return "".join(block["text"] for block in blocks if isinstance(block, dict) and isinstance(block.get("text"), str))
        case _:
            raise failures.INTERNAL.error(f"{NAME}: an answer that cannot be read")
