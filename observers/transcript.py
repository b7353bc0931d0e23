"""The turns of one session as they are to be written down. Pure: the time comes in as an argument.

A user's turn is told as soon as the model has understood something of it, again when there is more. An assistant's is told once its speech
has gone to the listener, and again when the service confirms its words otherwise, a tool returns, or it turns out not to have been heard
to its end. What was planned and never spoken is in no record.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from s2s.errors import CodecError
from s2s.events import ContentEnded, ContentStarted, ContentType, OutputEvent, Role, Stage, StopReason, ToolUse
from s2s.wire import dump_json, load_json
from session.events import (
    ExchangeRefused,
    Interrupted,
    ModelOutput,
    SessionEnded,
    SessionEvent,
    SpeechChunk,
    SpeechEnded,
    SpeechStarted,
    ToolFinished,
    ToolStarted,
    TranscriptUpdated,
    UserSpeechEnded,
    UserSpeechStarted,
)
from session.history import ARGUMENTS_BYTES, SECRETS, heard_text
from session.turn_record import TurnRecord
from session.turns import MS_PER_CHARACTER
from session.unconfirmed import normalised
from storage.conversation_turns import Speaker, ToolCall, Turn

OPEN_TURNS: Final = 16
"""Latest turns of which something may still be learnt: the service confirms an answer some seconds after it was spoken."""
WITHHELD: Final = "(withheld)"
HEARD_SLACK_MS: Final = 40.0
"""Speech that is as near to its end as this was heard: a piece of it is as long."""
BYTES_PER_SAMPLE: Final = 2
_SPEAKERS: Final = {Role.USER: Speaker.USER, Role.ASSISTANT: Speaker.ASSISTANT}


@dataclass(frozen=True, slots=True)
class LateResult:
    """How a tool call ended whose turn is not known here: another process wrote it."""

    number: int
    call: ToolCall


@dataclass(slots=True)
class _Open:
    """What is known of one turn."""

    record: TurnRecord
    started_at: datetime
    ended_at: datetime | None = None
    calls: dict[str, ToolCall] = field(default_factory=dict)
    came_ms: float = 0.0
    """Length of its speech."""
    delivered_ms: float = 0.0
    """Of that, what went to the listener."""
    played_until: float = 0.0
    """Monotonic second at which the listener has heard that."""
    has_ended: bool = False
    """Whether no more speech comes."""
    written: Turn | None = None
    """As it was told last."""

    @property
    def is_settled(self) -> bool:
        """Whether what is known of it can be told: nothing that was planned is still to be spoken or heard."""
        record = self.record
        if record.role is Role.USER or record.heard_ms is not None:
            return True
        if record.is_speaking:
            return self.has_ended and self.delivered_ms >= self.came_ms - HEARD_SLACK_MS
        return not record.planned or rest_of(record) == []

    def turn(self) -> Turn:
        record = self.record
        return Turn(
            number=record.number,
            role=_SPEAKERS[record.role],
            text=text_of(record, self.came_ms),
            started_at=self.started_at,
            ended_at=self.ended_at,
            heard_ms=record.heard_ms,
            calls=tuple(self.calls.values()),
            is_refused=record.is_refused,
        )


class Transcript:
    """Follows one session.

    Args:
        output_hertz: rate of the assistant's speech.
    """

    def __init__(self, output_hertz: int) -> None:
        self._bytes_per_ms = output_hertz * BYTES_PER_SAMPLE / 1_000
        self._turns: OrderedDict[int, _Open] = OrderedDict()
        self._touched: set[int] = set()
        """Turns of which something may have become known since the latest turn began."""
        self._first = 0
        """Number of the oldest turn that is known."""
        self._is_block_open = self._is_closing = False
        self.last_turn = 0

    def take(self, event: SessionEvent, at: datetime, now: float) -> list[Turn | LateResult]:
        """Take note of an event but speech, and return what is to be written down.

        Args:
            event: of the session.
            at: the time, with a zone.
            now: monotonic seconds.
        """
        match event:
            case ModelOutput(output):
                self._passed(output)
                return []
            case TranscriptUpdated():
                return self._text(event, at)
            case UserSpeechStarted() | SpeechStarted() | ToolStarted():
                return self._begun(event, at)
            case UserSpeechEnded() | SpeechEnded() | Interrupted():
                return self._ended(event, at)
            case ToolFinished():
                return self._tool_finished(event, at)
            case ExchangeRefused():
                return self._refused()
            case SessionEnded():
                return self._end(at, now)
            case _:
                return []

    def spoken(self, chunk: SpeechChunk) -> None:
        """Take note of speech that comes from the model."""
        known = self._known(chunk.turn)
        if known is None:
            return
        duration_ms = len(chunk.pcm) / self._bytes_per_ms
        known.came_ms += duration_ms
        if known.record.spoken_ms:
            known.record.spoken_ms[-1] += duration_ms

    def delivered(self, chunk: SpeechChunk, at: datetime, now: float) -> list[Turn | LateResult]:
        """Take note of speech that goes to the listener, and return what is to be written down."""
        known = self._known(chunk.turn)
        if known is None:
            return []
        duration_ms = len(chunk.pcm) / self._bytes_per_ms
        known.delivered_ms += duration_ms
        known.played_until = max(known.played_until, now) + duration_ms / 1_000
        if known.has_ended and known.record.heard_ms is None:
            known.ended_at = at
            return self._tell(known)
        return []

    def _known(self, number: int) -> _Open | None:
        """Return a turn of which something becomes known; None for one that never began, or is long over."""
        known = self._turns.get(number)
        if known is not None:
            self._touched.add(number)
        return known

    def _open(self, number: int, role: Role, at: datetime) -> tuple[_Open | None, list[Turn | LateResult]]:
        """Return a turn, None for one that is long over, with what is to be written of those before it."""
        known = self._known(number)
        if known is not None:
            return known, []
        if number < self._first:
            return None, []
        touched = [self._turns[one] for one in sorted(self._touched)]
        earlier = [told for one in touched for told in self._tell(one, is_last=one.has_ended)]
        known = self._turns[number] = _Open(TurnRecord(number, role), at)
        self._touched = {number}
        self.last_turn = max(self.last_turn, number)
        while len(self._turns) > OPEN_TURNS:
            oldest, gone = self._turns.popitem(last=False)
            self._first = oldest + 1
            self._touched.discard(oldest)
            earlier += self._tell(gone, is_last=True)
        return known, earlier

    def _begun(self, event: UserSpeechStarted | SpeechStarted | ToolStarted, at: datetime) -> list[Turn | LateResult]:
        known, earlier = self._open(event.turn, Role.USER if isinstance(event, UserSpeechStarted) else Role.ASSISTANT, at)
        if known is not None and isinstance(event, SpeechStarted):
            known.record.is_speaking = True
        if known is not None and isinstance(event, ToolStarted):
            known.calls[event.tool_use_id] = ToolCall(event.tool_use_id, event.name, without_secrets(event.arguments))
        return earlier

    def _ended(self, event: UserSpeechEnded | SpeechEnded | Interrupted, at: datetime) -> list[Turn | LateResult]:
        known = self._known(event.turn)
        if known is None:
            return []
        known.ended_at = at
        if isinstance(event, UserSpeechEnded):
            return self._tell(known) if known.record.final else []
        known.has_ended = True
        if isinstance(event, Interrupted):
            known.record.heard_ms = event.heard_ms
        elif not self._is_closing:  # its stream was left, or is dead: what came of it is heard, and no more
            self._cut_off(known)
        return self._tell(known)

    def _cut_off(self, known: _Open) -> None:
        record = known.record
        record.received_ms = known.came_ms
        if self._is_block_open and record.planned and record.spoken_ms[-1]:
            record.spoken_ms[-1] = max(record.spoken_ms[-1], MS_PER_CHARACTER * len(record.planned[-1]))
        self._is_block_open = False

    def _passed(self, output: OutputEvent) -> None:
        """Note what tells the end of an answer from the end of its stream."""
        self._is_closing = isinstance(output, ToolUse)
        match output:
            case ContentStarted(type=ContentType.AUDIO):
                self._is_block_open = True
            case ContentEnded(type=ContentType.AUDIO, stop_reason=reason):
                self._is_block_open = False
                self._is_closing = reason is StopReason.END_TURN
            case _:
                pass

    def _text(self, event: TranscriptUpdated, at: datetime) -> list[Turn | LateResult]:
        if event.role not in _SPEAKERS:
            return []
        known, earlier = self._open(event.turn, event.role, at)
        if known is None:
            return earlier
        record = known.record
        if event.stage is Stage.SPECULATIVE:
            record.planned.append(event.text)
            record.spoken_ms.append(0.0)
            return earlier
        record.final.append(event.text)
        record.received_ms = None  # its stream lives
        if known.ended_at is None and not record.is_speaking:
            known.ended_at = at
        return [*earlier, *self._tell(known)]

    def _tool_finished(self, event: ToolFinished, at: datetime) -> list[Turn | LateResult]:
        known = self._known(event.turn)
        call = None if known is None else known.calls.get(event.tool_use_id)
        if known is None or call is None:
            self.last_turn = max(self.last_turn, event.turn)
            late = ToolCall(event.tool_use_id, event.name, "", event.result, event.error_code)
            return [LateResult(event.turn, late)]
        known.calls[event.tool_use_id] = replace(call, result=event.result, error_code=event.error_code)
        known.ended_at = at if not known.record.has_begun else known.ended_at
        return self._tell(known)

    def _refused(self) -> list[Turn | LateResult]:
        """Mark the last thing that the user said and what followed, as the session forgets it."""
        told: list[Turn | LateResult] = []
        for known in reversed(self._turns.values()):
            known.record.is_refused = True
            self._touched.add(known.record.number)
            told = [*self._tell(known), *told]
            if known.record.role is Role.USER and known.record.final:
                break
        return told

    def _end(self, at: datetime, now: float) -> list[Turn | LateResult]:
        """Tell what is left; of speech that was not heard to its end, what was."""
        told: list[Turn | LateResult] = []
        for known in self._turns.values():
            record = known.record
            if record.role is Role.ASSISTANT and record.heard_ms is None and record.planned:
                heard_ms = known.delivered_ms - max(0.0, known.played_until - now) * 1_000
                is_written = not record.is_speaking and bool(record.final)  # an answer without a voice
                if not is_written and (heard_ms < known.came_ms - HEARD_SLACK_MS or not known.has_ended):
                    record.heard_ms, known.ended_at = max(0, round(heard_ms)), at
            told += self._tell(known, is_last=True)
        return told

    def _tell(self, known: _Open, *, is_last: bool = False) -> list[Turn | LateResult]:
        if not (is_last or known.is_settled):
            return []
        turn = known.turn()
        is_empty = not (turn.text or turn.calls)
        if turn == known.written or (is_empty and known.written is None):
            return []
        known.written = turn
        return [turn]


def text_of(record: TurnRecord, came_ms: float) -> str:
    """Return what was said in a turn, as far as it was heard; what the service has not confirmed yet, as it was planned.

    Args:
        record: of the turn.
        came_ms: length of its speech.
    """
    if record.heard_ms is not None and not record.planned:  # what was meant to be said was kept from us, too
        return heard_text([(" ".join(record.final), came_ms)], record.heard_ms)
    if record.heard_ms is not None or record.received_ms is not None:
        return record.text()
    return " ".join(part for part in (*record.final, *rest_of(record)) if part)


def rest_of(record: TurnRecord) -> list[str]:
    """Return the planned texts, or parts of them, that the service has not confirmed; none where it says something else than planned."""
    confirmed, left = normalised("".join(record.final)) if record.final else "", []
    if confirmed and not normalised("".join(record.planned)).startswith(confirmed):
        return []
    skip, spoken = len(confirmed), len(record.planned)
    while record.is_speaking and spoken and not record.spoken_ms[spoken - 1]:
        spoken -= 1  # it was planned after the last word
    for planned in record.planned[:spoken]:
        at, length = 0, len(normalised(planned)) if skip > 0 else 0
        if 0 < length <= skip:
            skip -= length
            continue
        while at < len(planned) and skip > 0:
            skip -= len(normalised(planned[at]))
            at += 1
        rest = planned[at:].lstrip(" .,;:!?…\"'»)") if at else planned
        if rest:
            left.append(rest)
    return left


def without_secrets(arguments: str) -> str:
    """Return a call's arguments without what proves who somebody is; what is no JSON object is left out whole."""
    try:
        given = load_json(arguments, ARGUMENTS_BYTES)
        given = load_json(given, ARGUMENTS_BYTES) if isinstance(given, str) else given  # models encode them twice now and then
    except CodecError:
        return ""
    if not isinstance(given, Mapping):
        return ""
    kept = {name: WITHHELD if any(secret in name.lower() for secret in SECRETS) else value for name, value in given.items()}
    return dump_json(kept).decode()
