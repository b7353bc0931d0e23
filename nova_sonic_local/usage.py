"""Tokens used on a stream. The figures are invented (`models.TOKENS_PER_SECOND`); what is true to the service is how they add up."""

from dataclasses import dataclass

from nova_sonic_local.models import CHARACTERS_PER_TOKEN, TOKENS_PER_SECOND


@dataclass(slots=True)
class Tokens:
    """Tokens by kind."""

    input_speech: int = 0
    input_text: int = 0
    output_speech: int = 0
    output_text: int = 0

    def add(self, other: "Tokens") -> None:
        """Add another count to this one."""
        self.input_speech += other.input_speech
        self.input_text += other.input_text
        self.output_speech += other.output_speech
        self.output_text += other.output_text

    def as_json(self) -> dict[str, dict[str, int]]:
        """Return the form of usageEvent's details."""
        return {
            "input": {"speechTokens": self.input_speech, "textTokens": self.input_text},
            "output": {"speechTokens": self.output_speech, "textTokens": self.output_text},
        }


def speech_tokens(seconds: float) -> int:
    """Return the tokens of some speech, at least one."""
    return max(1, round(seconds * TOKENS_PER_SECOND))


def text_tokens(text: str) -> int:
    """Return the tokens of a text, none for an empty one."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)
