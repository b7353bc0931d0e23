"""The turns of a conversation as a model's stream can be told them: user first, then in alternation, within the limits of the service."""

from collections.abc import Iterable

from s2s.events import Role
from s2s.limits import STRICT, TextProfile, clean_text
from session.events import HistoryTurn


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
