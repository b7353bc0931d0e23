"""What is counted in one session."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from s2s.events import TokenCounts
from session.events import UsageReported

BEFORE_FIRST = 0
"""Stands for all streams of other processes; generations begin at 1."""


@dataclass(slots=True)
class Statistics:
    """Counters of one session, written into its last event."""

    audio_in_ms: float = 0.0
    audio_in_dropped_ms: float = 0.0
    """As the runner tells, whose queue drops it."""
    audio_out_ms: float = 0.0
    tool_calls: int = 0
    tool_errors: int = 0
    duplicate_tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    _usage: dict[int, TokenCounts] = field(default_factory=dict)

    @property
    def total(self) -> TokenCounts:
        """Tokens used since the session began, in whatever process that was."""
        totals = self._usage.values()
        return TokenCounts(
            sum(total.input_speech for total in totals),
            sum(total.input_text for total in totals),
            sum(total.output_speech for total in totals),
            sum(total.output_text for total in totals),
        )

    def restore(self, total: TokenCounts) -> None:
        """Take over what another process counted."""
        self._usage[BEFORE_FIRST] = total

    def used(self, generation: int, total: TokenCounts) -> UsageReported:
        """Count the tokens of a stream, whose totals begin anew, and return those of the session."""
        self._usage[generation] = total
        of_all = self.total
        usage = UsageReported(of_all.input_speech, of_all.input_text, of_all.output_speech, of_all.output_text)
        self.input_tokens = usage.input_speech + usage.input_text
        self.output_tokens = usage.output_speech + usage.output_text
        return usage

    def figures(self, others: Mapping[str, int | float]) -> dict[str, int | float]:
        """Return all counters, with those that others keep."""
        return {
            "audio_in_ms": round(self.audio_in_ms),
            "audio_in_dropped_ms": round(self.audio_in_dropped_ms),
            "audio_out_ms": round(self.audio_out_ms),
            **others,
            "tool_calls": self.tool_calls,
            "tool_errors": self.tool_errors,
            "duplicate_tool_calls": self.duplicate_tool_calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
        }
