"""What is needed to go on with a conversation in another process, as JSON: written while it goes on, read when its client comes back.

The text holds what people said, so it is encrypted before it is stored (`storage/parked_sessions.py`). Readers leave members aside that
they do not know, so that processes of two versions can hand sessions over to each other; what they cannot do without is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Final

import orjson

from s2s.events import Endpointing, InferenceConfiguration, Role, TokenCounts, ToolSpec
from session.events import HistoryTurn, Start

VERSION: Final = 1
LIMIT_BYTES: Final = 256 * 1024
"""Encrypted and in base64 it is a third longer, and DynamoDB takes records of 400 KB."""
_COUNT_LIMIT: Final = 2**53
"""Whole numbers that every JSON parser keeps."""


class SnapshotError(ValueError):
    """The bytes are no snapshot that this version understands; the message quotes nothing of them."""


@dataclass(frozen=True, slots=True)
class ParkedCall:
    """A tool that ran when the snapshot was made."""

    tool_use_id: str
    name: str
    arguments: str
    """JSON text as the model wrote it."""
    turn: int


@dataclass(frozen=True, slots=True)
class SessionSnapshot:
    """One conversation at one moment."""

    session_id: str
    start: Start
    """What the client asked for, with the assistant and language that it got."""
    history: tuple[HistoryTurn, ...] = ()
    """What was said, as far as it was heard, after the history in `start`."""
    turns: int = 0
    """Number of the latest turn."""
    answered: tuple[str, ...] = ()
    """Tool calls that have their result, by toolUseId."""
    untold: tuple[tuple[str, str], ...] = ()
    """Names and results of tools that the model has not spoken about."""
    running: tuple[ParkedCall, ...] = ()
    usage: TokenCounts = field(default_factory=TokenCounts)
    upstream: int = 0
    """Number of the client's next frame that is wanted."""
    principal: str = ""
    """Whose session it is; nobody else may go on with it."""

    def encode(self) -> bytes:
        """Return the snapshot as JSON of LIMIT_BYTES at most: the oldest turns go first.

        Raises:
            SnapshotError: it is too large without any history.
        """
        turns = self.history
        while True:
            text = _dump(replace(self, history=turns))
            if len(text) <= LIMIT_BYTES:
                return text
            if not turns:
                raise SnapshotError("the session is too large to be kept")
            turns = turns[len(turns) // 2 + 1 :]

    @classmethod
    def decode(cls, data: bytes) -> "SessionSnapshot":
        """Read what `encode` wrote.

        Raises:
            SnapshotError: it is something else, or of a later version.
        """
        if len(data) > LIMIT_BYTES:
            raise SnapshotError("it is too large")
        try:
            return _snapshot(_Members(orjson.loads(data)))
        except SnapshotError:
            raise
        except ValueError:  # of JSON, and of the enumerations
            raise SnapshotError("it cannot be read") from None


def _dump(snapshot: SessionSnapshot) -> bytes:
    try:
        return orjson.dumps({"version": VERSION, **asdict(snapshot)})
    except orjson.JSONEncodeError:  # of texts that are no Unicode
        raise SnapshotError("the session cannot be written") from None


class _Members:
    """The members of a JSON object, by type."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, Mapping):
            raise SnapshotError("an object is expected")
        self._members = value

    def text(self, name: str) -> str:
        value = self._members.get(name)
        if not isinstance(value, str):
            raise SnapshotError(f"{name} is no text")
        return value

    def maybe_text(self, name: str) -> str | None:
        return None if self._members.get(name) is None else self.text(name)

    def count(self, name: str) -> int:
        value = self._members.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _COUNT_LIMIT:
            raise SnapshotError(f"{name} is no count")
        return value

    def number(self, name: str) -> float:
        value = self._members.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise SnapshotError(f"{name} is no number")
        return value

    def part(self, name: str) -> "_Members":
        return _Members(self._members.get(name, {}))

    def has(self, name: str) -> bool:
        return self._members.get(name) is not None

    def values(self, name: str) -> Sequence[object]:
        value = self._members.get(name, [])
        if not isinstance(value, list):
            raise SnapshotError(f"{name} is no list")
        return value

    def parts(self, name: str) -> list["_Members"]:
        return [_Members(value) for value in self.values(name)]


def _snapshot(read: _Members) -> SessionSnapshot:
    if read.count("version") != VERSION:
        raise SnapshotError("it is of another version")
    usage = read.part("usage")
    return SessionSnapshot(
        session_id=read.text("session_id"),
        start=_start(read.part("start")),
        history=_turns(read, "history"),
        turns=read.count("turns"),
        answered=_texts(read.values("answered")),
        untold=tuple(_pair(value) for value in read.values("untold")),
        running=tuple(
            ParkedCall(call.text("tool_use_id"), call.text("name"), call.text("arguments"), call.count("turn"))
            for call in read.parts("running")
        ),
        usage=TokenCounts(*(usage.count(name) for name in ("input_speech", "input_text", "output_speech", "output_text"))),
        upstream=read.count("upstream"),
        principal=read.text("principal"),
    )


def _start(read: _Members) -> Start:
    inference = read.part("inference") if read.has("inference") else None
    endpointing = read.maybe_text("endpointing")
    return Start(
        assistant=read.maybe_text("assistant"),
        language=read.maybe_text("language"),
        voice_id=read.maybe_text("voice_id"),
        prompt=read.maybe_text("prompt"),
        inference=_inference(inference) if inference else None,
        endpointing=None if endpointing is None else Endpointing(endpointing),
        input_hertz=read.count("input_hertz"),
        output_hertz=read.count("output_hertz"),
        context=read.maybe_text("context") or "",
        preferred_voice_id=read.maybe_text("preferred_voice_id") or "",
        patient_id=read.maybe_text("patient_id") or "",
        history=_turns(read, "history"),
        memory=_turns(read, "memory"),
        client_tools=tuple(
            ToolSpec(tool.text("name"), tool.text("description"), tool.text("input_schema")) for tool in read.parts("client_tools")
        ),
    )


def _inference(read: _Members) -> InferenceConfiguration:
    return InferenceConfiguration(read.count("max_tokens"), read.number("top_p"), read.number("temperature"))


def _turns(read: _Members, name: str) -> tuple[HistoryTurn, ...]:
    return tuple(HistoryTurn(Role(turn.text("role")), turn.text("text")) for turn in read.parts(name))


def _texts(values: Sequence[object]) -> tuple[str, ...]:
    texts = tuple(value for value in values if isinstance(value, str))
    if len(texts) != len(values):
        raise SnapshotError("a text is expected")
    return texts


def _pair(value: object) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 - a name and a result
        raise SnapshotError("a pair is expected")
    name, result = _texts(value)
    return name, result
