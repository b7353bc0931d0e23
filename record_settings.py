"""Settings of what outlives a conversation: records, recordings, events and alerts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSettings:
    """What an operator can choose of them."""
