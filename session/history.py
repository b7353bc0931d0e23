"""The turns of a conversation as a model's stream can be told them: user first, then in alternation, within the limits of the service.

History knows two roles alone. What tools were asked and returned is told as part of what the user said, as Bedrock's own conversations tell
results in the user's name: an assistant that found it among its own words would go on in that manner, and read such notes aloud.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from s2s.errors import CodecError
from s2s.events import Role
from s2s.limits import STRICT, TextProfile, clean_text
from s2s.wire import Json, load_json
from session.events import HistoryTurn

CALL_CHARACTERS: Final = 120
"""How much of a call's arguments a later stream is told."""
RESULT_CHARACTERS: Final = 300
"""How much of its result: what mattered of it was said aloud."""
ARGUMENTS_BYTES: Final = 8 * 1024
"""Longer arguments are left out."""
SECRETS: Final = ("dni", "password", "pin", "secret", "token", "cvv", "iban", "card")
"""Parts of the names of what proves who somebody is: no later request needs it from the past, the assistant asks again."""


def call_words(name: str, arguments: str, result: str) -> str:
    """Return a tool call and its result in words, for the model and not for the user.

    Args:
        name: the tool.
        arguments: JSON text as the model wrote it; secrets in it are left out.
        result: JSON text.
    """
    known = _without_secrets(arguments)
    told = f" with {shortened(known, CALL_CHARACTERS)}" if known else ""
    returned = shortened(result, RESULT_CHARACTERS)
    return f"(System note, not said by the user, not to be read aloud: {name} was called{told} and returned {returned})"


def shortened(text: str, limit: int) -> str:
    """Return the beginning of a text, of this many characters at most, to the end of a word: half a word or number means something else."""
    if len(text) <= limit:
        return text
    end = max(text.rfind(" ", 0, limit + 1), text.rfind(",", 0, limit + 1))
    return text[:end] if end > 0 else text[:limit]


def _without_secrets(arguments: str) -> str:
    try:
        given = load_json(arguments, ARGUMENTS_BYTES)
        given = load_json(given, ARGUMENTS_BYTES) if isinstance(given, str) else given  # models encode them twice now and then
    except CodecError:
        return ""
    return ", ".join(_members(given)) if isinstance(given, Mapping) else ""


def _members(given: Mapping[str, Json]) -> Iterable[str]:
    for name, value in given.items():
        if isinstance(value, str | int | float) and not any(secret in name.lower() for secret in SECRETS):
            yield f"{name} {value}"


def replayable(turns: Iterable[HistoryTurn], limits: TextProfile = STRICT) -> tuple[HistoryTurn, ...]:
    """Return the newest turns that a stream accepts.

    Neighbours of one role are joined; empty turns go; a leading assistant turn goes, because history must begin with the user.
    """
    joined: list[HistoryTurn] = []
    for turn in turns:
        text = clean_text(turn.text).strip()
        if not text or turn.role not in (Role.USER, Role.ASSISTANT):
            continue
        if joined and joined[-1].role is turn.role:
            text = f"{joined.pop().text} {text}"
        joined.append(HistoryTurn(turn.role, text))
    kept: list[HistoryTurn] = []
    total = 0
    for turn in reversed(joined):
        total += len(turn.text.encode())
        if total > limits.history_bytes or len(kept) == limits.history_messages:
            break
        kept.append(turn)
    kept.reverse()
    if kept and kept[0].role is Role.ASSISTANT:
        del kept[0]
    return tuple(kept)


def heard_text(blocks: Iterable[tuple[str, float]], heard_ms: float) -> str:
    """Return what of an interrupted answer was heard.

    Args:
        blocks: (text, milliseconds of its speech) in order; a text without speech belongs to the speech after it.
        heard_ms: how much of the speech was played; a block that was cut keeps the same share of its words.
    """
    heard: list[str] = []
    words: list[str] = []
    left = heard_ms
    for text, duration in blocks:
        words += text.split()
        if duration <= 0:
            continue
        if left <= 0:
            break
        heard += words[: round(len(words) * min(1.0, left / duration))]
        words = []
        left -= duration
    return " ".join(heard)
