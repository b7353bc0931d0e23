"""How an emulator is set up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol, runtime_checkable

from nova_sonic_local.brains.chat_settings import ChatSettings
from nova_sonic_local.brains.interface import Brain, Prompt, Voice
from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.manner import Manner
from nova_sonic_local.parsing import Checks


class Head(Enum):
    """When the response head is sent."""

    FIRST_EVENT = "first_event"
    """After the first valid event, as the service does (clients that waited for it before sending anything timed out)."""
    AT_ONCE = "at_once"


type BrainFactory = Callable[[Prompt], Brain]


@runtime_checkable
class ClosableBrains(Protocol):
    """What makes brains that share something, such as processes; it is closed after the last stream."""

    def __call__(self, prompt: Prompt) -> Brain:
        """Return a brain for a prompt."""

    async def aclose(self) -> None:
        """Let go of what the brains share."""


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that can be chosen. The defaults suit tests: free ports, the script brain, the built-in voice."""

    host: str = "127.0.0.1"
    port: int = 0
    """For TLS; 0 is any free port."""
    h2c_port: int = 0
    """For HTTP/2 without TLS (prior knowledge)."""
    admin_port: int | None = None
    """For the admin endpoint (admin.py); 0 is any free port, None is no such endpoint."""
    ca_dir: Path | None = None
    """Where the certificate authority is kept; None makes one for this run."""
    brain: str | BrainFactory = "script"
    """demo, script, echo, chat, or what makes a brain for a prompt."""
    scenario: Path | None = None
    """File for the demo or script brain; what the chat brain recognises in speech."""
    scenario_dir: Path | None = None
    """Where the scenarios are that a stream can ask for by name; None is nowhere."""
    record: Path | None = None
    """Folder for recordings of all streams; None records nothing."""
    replay: Path | None = None
    """A recording that answers instead of a brain."""
    keep_sound: bool = False
    """Whether transcripts keep the samples, not only their number."""
    chat: ChatSettings | None = None
    """The endpoint of the chat brain; None is no such brain."""
    voice: str | Voice = "builtin"
    """auto, espeak, flite, builtin, or a voice."""
    signatures: SignatureCheck = SignatureCheck.OFF
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Access key id to secret access key, for the strict signature check."""
    checks: Checks = Checks.STRICT
    head: Head = Head.FIRST_EVENT
    manner: Manner = field(default_factory=Manner)
    time_scale: float = 1.0
    """Multiplies the 8 minutes of a stream and the idle times."""
    idle_profile: int = 55
    """55 or 295 seconds without audio or interactive content."""
    silence_resets_idle: bool = True
    """Whether silent audio counts as audio; reports differ."""
    max_streams: int = 20
    """Streams at the same time; one more gets HTTP 429. 20 is the usual quota of an account."""
    fault: str | Callable[[], str] = ""
    """For every stream; see faults.py. A function is asked once for each stream."""
    seed: int = 0
    """Of all ids and random faults."""
