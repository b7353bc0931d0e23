"""What connections need beside sessions, for some of the dialects."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from audio.decoding import AudioDecoding
from transports.memory import Memory, NoMemory
from transports.patients import NoPatients, Patients


@dataclass(frozen=True, slots=True)
class Provisions:
    """One for all connections of a server."""

    decoding: AudioDecoding = field(default_factory=AudioDecoding)
    """Of recorders; whoever makes it starts and closes it."""
    patients: Patients = field(default_factory=NoPatients)
    """Whom the companion talks to."""
    memory: Memory = field(default_factory=NoMemory)
    """Of earlier conversations."""


async def open_provisions(resources: AsyncExitStack, patients: Patients, memory: Memory | None = None) -> Provisions:
    """Return what there is, with the decoders that are installed.

    Args:
        resources: close the decoders.
        patients: whom the companion talks to.
        memory: of earlier conversations; None remembers nothing.
    """
    decoding = AudioDecoding()
    resources.callback(decoding.close)
    await decoding.start()
    return Provisions(decoding, patients, memory or NoMemory())
