"""What a session's machine is made of: everything that decides and does not come as an input, so that the same one can be made again."""

from dataclasses import dataclass
from hashlib import blake2b

from s2s.events import ToolSpec
from s2s.limits import STRICT, TextProfile
from session.assistant import SessionPlan
from session.hearing import Ear, live_ear
from session.machine import SessionMachine
from session.queues import PlaybackQueue
from session.snapshot import SessionSnapshot

_NAME_BYTES = 16


class Names:
    """Makes names in the form of random UUIDs (RFC 9562 section 5.4); the same seed makes the same names in the same order.

    Args:
        seed: any text that no other session has.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._made = 0

    def __call__(self) -> str:
        """Return the next name."""
        self._made += 1
        digest = bytearray(blake2b(f"{self._seed} {self._made}".encode(), digest_size=_NAME_BYTES).digest())
        digest[6] = digest[6] & 0x0F | 0x40
        digest[8] = digest[8] & 0x3F | 0x80
        text = digest.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass(frozen=True, slots=True)
class Origin:
    """How a session begins."""

    session_id: str
    model_id: str
    """The Bedrock model id."""
    plan: SessionPlan
    tools: tuple[ToolSpec, ...]
    names_seed: str
    """Of the names of prompts and contents."""
    renewal_jitter_seconds: float
    resume_jitter: float
    snapshot: SessionSnapshot | None = None
    """Of the process that had the session before; None for a new session."""
    limits: TextProfile = STRICT
    """How much text a stream may be given."""

    def make(self, ear: Ear = live_ear) -> tuple[SessionMachine, PlaybackQueue]:
        """Return a machine that has been told nothing yet, and the listener's queue that it shares with its runner.

        Args:
            ear: tells the machine whether the user's audio is quiet.
        """
        playback = PlaybackQueue(self.plan.output_hertz)
        machine = SessionMachine(
            session_id=self.session_id,
            plan=self.plan,
            model_id=self.model_id,
            tools=self.tools,
            playback=playback,
            new_name=Names(self.names_seed),
            renewal_jitter_seconds=self.renewal_jitter_seconds,
            resume_jitter=self.resume_jitter,
            limits=self.limits,
            ear=ear,
        )
        if self.snapshot is not None:
            machine.restore(self.snapshot)
        return machine, playback
