"""Where recordings of conversations are in the store of objects, and what is written down of each.

voice-sessions/{session}/audio-{time}.webm        the sound; with its format's own ending
voice-sessions/{session}/metadata.json            what is known of it
voice-sessions/{session}/metadata-{time}.json     the same for what another process recorded of the session after the first

Every process writes objects of its own alone: no two ever write the same one.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import orjson

from storage.errors import InvalidRequest
from storage.models import Json, format_instant, parse_instant
from storage.objects import OWNER, ObjectInfo, ObjectStore, Upload, owner_mark

ROOT: Final = "voice-sessions/"
NOTES_TYPE: Final = "application/json"
MOST_RECORDINGS: Final = 100
"""Of one session: as often as it may have gone from process to process."""
_SOUND: Final = re.compile(r"audio-\d{8}T\d{9}Z\.")
"""Of a recording, not of an upload: that has a name behind its time."""
VERSION: Final = 1
"""Of the metadata; a reader of this version understands what members are added."""


class RecordingFormat(StrEnum):
    """How a recording is written."""

    WEBM = "webm"
    """Opus in WebM."""
    OGG = "ogg"
    """Opus in Ogg."""
    FLAC = "flac"
    WAV = "wav"


CONTENT_TYPES: Final[Mapping[RecordingFormat, str]] = {
    RecordingFormat.WEBM: "audio/webm",
    RecordingFormat.OGG: "audio/ogg",
    RecordingFormat.FLAC: "audio/flac",
    RecordingFormat.WAV: "audio/wav",
}


class RecordAudio(StrEnum):
    """Which conversations are recorded."""

    OFF = "off"
    ASSISTANT = "assistant"
    """Those of the assistants whose file says so."""
    ALL = "all"


class RecordingState(StrEnum):
    """How far a recording is."""

    RUNNING = "running"
    """The conversation goes on, or its last words are still being stored."""
    COMPLETE = "complete"
    CUT = "cut"
    """Its process died: it has what had been stored by then."""
    FAILED = "failed"
    """It could not be encoded or stored to its end."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """Where the caller spoke over the assistant."""

    turn: int
    heard_ms: int
    """How much of the assistant's turn was heard."""
    at_ms: int
    """Of the recording: the assistant falls silent."""
    unheard_ms: int = 0
    """How much more of it is in the recording, because the listener told too late."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What came out of a recording."""

    samples: int = 0
    """Of each channel."""
    caller_samples: int = 0
    """Of them, how many the caller sent; the rest is silence."""
    assistant_samples: int = 0
    caller_gaps: int = 0
    """How often the caller's sound was away, and was put to the clock anew."""
    dropped_ms: int = 0
    """What could not be encoded in time, and is silence in the recording."""
    ahead_ms: int = 0
    """Of the caller, what came so far ahead of its time that it is not in the recording."""
    interruptions: tuple[Interruption, ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """What is known of one recording."""

    session_id: str
    user_id: str
    """Whose it is; empty for somebody whom nobody asked."""
    assistant: str
    language: str
    voice_id: str
    model_id: str
    began_at: datetime
    """UTC: the first sample of both channels."""
    format: RecordingFormat
    hertz: int
    """Of both channels: left is the caller, right the assistant."""
    is_continued: bool = False
    """Whether another process had the session before."""
    state: RecordingState = RecordingState.RUNNING
    ended_at: datetime | None = None
    reason: str | None = None
    """Why the session ended in the process that recorded it."""
    figures: Figures = Figures()

    @property
    def key(self) -> str:
        """Where the sound is."""
        return f"{ROOT}{self.session_id}/audio-{_stamp(self.began_at)}.{self.format.value}"

    @property
    def notes_key(self) -> str:
        """Where this is written down."""
        return f"{ROOT}{self.session_id}/metadata{f'-{_stamp(self.began_at)}' if self.is_continued else ''}.json"


class Recordings:
    """The recordings in a store.

    Args:
        store: of objects.
    """

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def upload(self, recording: Recording) -> Upload:
        """Begin to store the sound; does no I/O."""
        return self.store.upload(recording.key, CONTENT_TYPES[recording.format], _owner(recording.user_id))

    async def write(self, recording: Recording) -> None:
        """Write down what is known of a recording, in the place of what was."""
        await self.store.put(recording.notes_key, orjson.dumps(recording_json(recording)), NOTES_TYPE, _owner(recording.user_id))

    async def of_session(self, session_id: str) -> tuple[Recording, ...]:
        """Return the recordings of a session in the order of time; none for an id that no session has."""
        try:
            listed = await self.store.list(f"{ROOT}{session_id}/metadata", limit=MOST_RECORDINGS)
        except InvalidRequest:
            return ()
        found = [await self._read(info.key) for info in listed.objects]
        return tuple(sorted((one for one in found if one is not None), key=lambda one: one.began_at))

    async def of_key(self, key: str) -> Recording | None:
        """Return the recording whose sound is there, or None."""
        session_id = key.removeprefix(ROOT).partition("/")[0]
        return next((one for one in await self.of_session(session_id) if one.key == key), None)

    async def left_silent(self, before: datetime) -> tuple[Recording, ...]:
        """Return the recordings that were begun before this time and never had any sound: their processes died at once."""
        found: list[Recording] = []
        async for files in self._by_session():
            notes = [info for info in files if _name_of(info).startswith("metadata")]
            if len(notes) > sum(_SOUND.match(_name_of(info)) is not None for info in files):
                read = [await self._read(info.key) for info in notes if info.modified_at < before]
                found += [one for one in read if one is not None and one.state is RecordingState.RUNNING]
        growing = await self.store.unfinished(ROOT) if found else frozenset()
        return tuple([one for one in found if one.key not in growing and await self.store.head(one.key) is None])

    async def _by_session(self) -> AsyncIterator[list[ObjectInfo]]:
        """Yield what there is of each session; keys come in order."""
        files: list[ObjectInfo] = []
        after: str | None = None
        while True:
            listed = await self.store.list(ROOT, after=after)
            for info in listed.objects:
                if files and _folder_of(files[0]) != _folder_of(info):
                    yield files
                    files = []
                files.append(info)
            if (after := listed.after) is None:
                break
        if files:
            yield files

    async def delete(self, session_id: str) -> None:
        """Remove all that there is of a session; what is known of it last, so that what is left can be found again."""
        listed = await self.store.list(f"{ROOT}{session_id}/", limit=MOST_RECORDINGS * 3)
        for info in sorted(listed.objects, key=lambda one: one.key.endswith(".json")):
            await self.store.delete(info.key)

    async def _read(self, key: str) -> Recording | None:
        raw = await self.store.get(key)
        try:
            return None if raw is None else _from_json(orjson.loads(raw))
        except (KeyError, TypeError, ValueError):  # not written by a server of this version, or not by us
            return None


def recording_json(recording: Recording) -> dict[str, Json]:
    """Return what is known of a recording as it is written down."""
    figures = recording.figures
    return {
        "version": VERSION,
        "sessionId": recording.session_id,
        "userId": recording.user_id,
        "assistant": recording.assistant,
        "language": recording.language,
        "voiceId": recording.voice_id,
        "modelId": recording.model_id,
        "state": recording.state.value,
        "beganAt": format_instant(recording.began_at),
        "endedAt": None if recording.ended_at is None else format_instant(recording.ended_at),
        "reason": recording.reason,
        "isContinued": recording.is_continued,
        "key": recording.key,
        "format": recording.format.value,
        "contentType": CONTENT_TYPES[recording.format],
        "channels": ["caller", "assistant"],
        "sampleRate": recording.hertz,
        "samples": figures.samples,
        "durationMs": round(figures.samples * 1_000 / recording.hertz),
        "callerSamples": figures.caller_samples,
        "assistantSamples": figures.assistant_samples,
        "callerGaps": figures.caller_gaps,
        "droppedMs": figures.dropped_ms,
        "aheadMs": figures.ahead_ms,
        "interruptions": [
            {"turn": one.turn, "heardMs": one.heard_ms, "atMs": one.at_ms, "unheardMs": one.unheard_ms} for one in figures.interruptions
        ],
    }


def _from_json(told: Mapping[str, object]) -> Recording:
    rows = told["interruptions"]
    interruptions = tuple(
        Interruption(int(row["turn"]), int(row["heardMs"]), int(row["atMs"]), int(row["unheardMs"]))
        for row in (rows if isinstance(rows, list) else ())
    )
    figures = Figures(
        samples=int(str(told["samples"])),
        caller_samples=int(str(told["callerSamples"])),
        assistant_samples=int(str(told["assistantSamples"])),
        caller_gaps=int(str(told["callerGaps"])),
        dropped_ms=int(str(told["droppedMs"])),
        ahead_ms=int(str(told["aheadMs"])),
        interruptions=interruptions,
    )
    ended_at, reason = told["endedAt"], told["reason"]
    return Recording(
        session_id=str(told["sessionId"]),
        user_id=str(told["userId"]),
        assistant=str(told["assistant"]),
        language=str(told["language"]),
        voice_id=str(told["voiceId"]),
        model_id=str(told["modelId"]),
        began_at=parse_instant(str(told["beganAt"])),
        format=RecordingFormat(str(told["format"])),
        hertz=int(str(told["sampleRate"])),
        is_continued=told["isContinued"] is True,
        state=RecordingState(str(told["state"])),
        ended_at=None if ended_at is None else parse_instant(str(ended_at)),
        reason=None if reason is None else str(reason),
        figures=figures,
    )


def _folder_of(info: ObjectInfo) -> str:
    return info.key.rpartition("/")[0]


def _name_of(info: ObjectInfo) -> str:
    return info.key.rpartition("/")[2]


def _stamp(instant: datetime) -> str:
    """Return a time to the millisecond as a part of a key."""
    return instant.astimezone(UTC).strftime("%Y%m%dT%H%M%S") + f"{instant.microsecond // 1_000:03}Z"


def _owner(user_id: str) -> dict[str, str]:
    return {OWNER: owner_mark(user_id)} if user_id else {}
