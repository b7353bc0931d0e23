"""Bedrock's Converse and ConverseStream, for every model that is no Nova Sonic: the emulator's brains answer in writing.

Shapes: Amazon Bedrock API reference, "Converse" and "ConverseStream".
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from nova_sonic_local.brains.interface import Prompt
from nova_sonic_local.cascade.call import Call
from nova_sonic_local.cascade.conversation import Conversation, ConversationError, parse_conversation
from nova_sonic_local.cascade.extract import asks_for_notes, extract
from nova_sonic_local.cascade.recital import recite
from nova_sonic_local.cascade.writing import Writing
from nova_sonic_local.models import find_model
from nova_sonic_local.refusals import Refusal
from nova_sonic_local.replay import Recording
from nova_sonic_local.usage import text_tokens

LARGEST_BODY_BYTES: Final = 4 * 1024 * 1024
_MODEL_ID: Final = re.compile(r"[a-zA-Z0-9_.:/-]{1,2048}")
_SPEECH_MODEL: Final = "This action doesn't support the model that you provided. Try again with a supported text or chat model."


async def serve_converse(call: Call, match: re.Match[str]) -> None:
    """Serve one request of either form."""
    is_stream = match["stream"] is not None
    body = await call.read_body(LARGEST_BODY_BYTES)
    started = call.house.clock.now()
    model_id = unquote(match["model"])
    if not _MODEL_ID.fullmatch(model_id):
        raise call.refuse(Refusal.MODEL_ID.value.text)
    if find_model(model_id) is not None:
        raise call.refuse(_SPEECH_MODEL)
    try:
        conversation = parse_conversation(body)
    except ConversationError as error:
        raise call.refuse(str(error)) from error
    call.is_stream = is_stream
    writing = Writing(call.send_event if is_stream else _keep_quiet, call.ids, conversation.most_tokens, conversation.stops)
    await _write(call, model_id, conversation, writing)
    spent_in, spent_out = text_tokens("x" * conversation.characters), writing.tokens
    bill: dict[str, object] = {
        "usage": {"inputTokens": spent_in, "outputTokens": spent_out, "totalTokens": spent_in + spent_out},
        "metrics": {"latencyMs": round(1000 * (call.house.clock.now() - started))},
    }
    if is_stream:
        await call.send_event("metadata", bill)
        return
    message = {"role": "assistant", "content": writing.content}
    await call.send_json({"output": {"message": message}, "stopReason": writing.stop_reason} | bill)


async def _write(call: Call, model_id: str, conversation: Conversation, writing: Writing) -> None:
    role, asked = call.cast.role, conversation.turns[-1]
    if isinstance(role, Recording):
        raise call.refuse("A recording is replayed here, which answers streams of speech alone.")
    if role is None:
        await writing.begin()
        await writing.say(asked.text)
    elif call.cast.name.partition(":")[0] == "demo" and not conversation.tools and asks_for_notes(conversation.system):
        await writing.begin()
        await writing.say(extract(asked.text))
    else:
        brain = role(Prompt(model_id, "", 0, 0, conversation.system, (), conversation.tools))
        try:
            await writing.begin()
            await recite(brain, conversation.turns, writing)
        finally:
            await brain.close()
    await writing.end()


async def _keep_quiet(_kind: str, _event: Mapping[str, object]) -> None:
    """Take an event that nobody streams."""
