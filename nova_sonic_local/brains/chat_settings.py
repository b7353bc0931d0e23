"""Where the chat brain's language model is."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

KEY_VARIABLE: Final = "NOVA_SONIC_LOCAL_CHAT_KEY"
"""Environment variable with the key, for those who keep it in no file."""


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """An OpenAI-compatible endpoint.

    Raises:
        ValueError: a URL or the name of the model cannot be used.
    """

    url: str
    """Base of the API, to which /chat/completions is added, for instance http://127.0.0.1:11434/v1."""
    model: str
    key: str = field(default="", repr=False)
    """Sent as a bearer token; empty sends none, as most local servers want it."""
    transcription_model: str = ""
    """Model that writes down what was spoken, by /audio/transcriptions; empty does without."""
    transcription_url: str = ""
    """Base of its API; empty is `url`."""
    connect_seconds: float = 5.0
    patience_seconds: float = 60.0
    """For the next piece of an answer; a model that is loaded from disk first takes its time."""

    def __post_init__(self) -> None:
        for name, url in (("--chat-url", self.url), ("--chat-transcription-url", self.hearing_url)):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"{name}: must be a URL such as http://127.0.0.1:11434/v1")
            if parts.username is not None or parts.query or parts.fragment:
                raise ValueError(f"{name}: must have no user, no query and no fragment; the key belongs into --chat-key-file")
        if not self.model:
            raise ValueError("--chat-model: must name a model of the endpoint")
        if not self.key.isascii() or not self.key.isprintable():
            raise ValueError("the chat key: must be one line of printable ASCII")

    @property
    def hearing_url(self) -> str:
        """Base of the API that transcribes."""
        return self.transcription_url or self.url

    @property
    def hearing_key(self) -> str:
        """The key, if it is the chat endpoint's own server that transcribes; no other server gets to see it."""
        return self.key if urlsplit(self.hearing_url)[:2] == urlsplit(self.url)[:2] else ""

    @property
    def place(self) -> str:
        """Host and port, for the log."""
        return urlsplit(self.url).netloc
