"""One turn of a conversation, and what of it another stream can be told."""

from dataclasses import dataclass, field

from s2s.events import Role
from session.history import heard_text


@dataclass(slots=True)
class TurnRecord:
    """What one turn said."""

    number: int
    role: Role
    planned: list[str] = field(default_factory=list)
    """Speculative texts of the assistant, one per sentence group."""
    spoken_ms: list[float] = field(default_factory=list)
    """Length of the speech of each planned text."""
    final: list[str] = field(default_factory=list)
    heard_ms: int | None = None
    """Set when the turn was interrupted."""
    received_ms: float | None = None
    """Set when the stream died in the middle of the turn: no more of it can be heard."""
    is_refused: bool = False
    """Whether the service does not accept it, so that no other stream is told."""
    typed: str = ""
    """What the user typed; the service may repeat it as what the user said."""
    is_speaking: bool = False
    """Whether speech of this turn was announced."""

    @property
    def has_begun(self) -> bool:
        """Whether the assistant says something in this turn, and does not just call a tool."""
        return bool(self.planned) or self.is_speaking

    def text(self) -> str:
        """Return what was said, as far as it was heard: the service's FINAL text knows nothing of an interruption by our client."""
        heard_ms = self.received_ms if self.heard_ms is None else self.heard_ms
        if heard_ms is not None and self.planned:
            return heard_text(zip(self.planned, self.spoken_ms, strict=True), heard_ms)
        return " ".join(self.final or self.planned)
