"""What the turns of a cascade ask for, beside the events that go to the session."""

from dataclasses import dataclass

from cascade.interfaces import Request
from s2s.events import OutputEvent


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the text model; what it writes comes back under this number."""

    answer: int
    request: Request


@dataclass(frozen=True, slots=True)
class Speak:
    """Speak a sentence; the speech comes back under the number of its answer."""

    answer: int
    text: str


@dataclass(frozen=True, slots=True)
class Hush:
    """Give up whatever is being written or spoken."""


type Step = OutputEvent | Ask | Speak | Hush
