"""What connections need beside sessions, for some of the dialects."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from audio.decoding import AudioDecoding
from transports.memory import Memory, NoMemory
from transports.patients import NoPatients, Patients
from transports.preferences import NoPreferences, Preferences


@dataclass(frozen=True, slots=True)
class Provisions:
    """One for all connections of a server."""

    decoding: AudioDecoding = field(default_factory=AudioDecoding)
    """Of recorders; whoever makes it starts and closes it."""
    patients: Patients = field(default_factory=NoPatients)
    """Whom the companion talks to."""
    memory: Memory = field(default_factory=NoMemory)
    """Of earlier conversations."""
    preferences: Preferences = field(default_factory=NoPreferences)
    """Of users."""


async def open_provisions(
    resources: AsyncExitStack, patients: Patients, memory: Memory | None = None, preferences: Preferences | None = None
) -> Provisions:
    """Return what there is, with the decoders that are installed.

    Args:
        resources: close the decoders.
        patients: whom the companion talks to.
        memory: of earlier conversations; None remembers nothing.
        preferences: of users; None knows of none.
    """
    decoding = AudioDecoding()
    resources.callback(decoding.close)
    await decoding.start()
    return Provisions(decoding, patients, memory or NoMemory(), preferences or NoPreferences())
