"""What connections need beside sessions, for some of the dialects."""

from dataclasses import dataclass, field

from transports.audio_decoding import AudioDecoding
from transports.patients import NoPatients, Patients


@dataclass(frozen=True, slots=True)
class Provisions:
    """One for all connections of a server."""

    decoding: AudioDecoding = field(default_factory=AudioDecoding)
    """Of recorders; whoever makes it starts and closes it."""
    patients: Patients = field(default_factory=NoPatients)
    """Whom the companion talks to."""
