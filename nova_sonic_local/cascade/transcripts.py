"""What Transcribe says of a piece of speech: Amazon Transcribe streaming API reference, "TranscriptEvent" and "Result". Pure."""

from typing import Final

HEARD: Final = "..."
"""Transcript of a partial result: somebody speaks, and what is said is known at the end alone."""
INAUDIBLE: Final = "[inaudible]"
"""Transcript of speech that was not understood."""


def result(result_id: str, start_ms: int, end_ms: int, text: str, *, is_partial: bool) -> dict[str, object]:
    """Return the event of one result."""
    alternative: dict[str, object] = {"Transcript": text, "Items": [] if is_partial else _items(text, start_ms, end_ms)}
    entry: dict[str, object] = {
        "ResultId": result_id,
        "StartTime": start_ms / 1000,
        "EndTime": end_ms / 1000,
        "IsPartial": is_partial,
        "ChannelId": "ch_0",
        "Alternatives": [alternative],
    }
    return {"Transcript": {"Results": [entry]}}


def _items(text: str, start_ms: int, end_ms: int) -> list[dict[str, object]]:
    """Return the words, with the time shared out by their length."""
    words = text.split()
    characters = sum(map(len, words))
    items: list[dict[str, object]] = []
    passed = 0
    for word in words:
        begin = start_ms + (end_ms - start_ms) * passed // characters
        passed += len(word)
        end = start_ms + (end_ms - start_ms) * passed // characters
        times = {"StartTime": begin / 1000, "EndTime": end / 1000}
        items.append(times | {"Type": "pronunciation", "Content": word, "VocabularyFilterMatch": False})
    return items
