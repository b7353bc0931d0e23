"""Where uploaded audio and what is made of it are in the store of objects.

voice-sessions/{session}/audio-{upload}.webm            the audio as it came, with its format's own ending
processed/{session}/transcriptions/{upload}.json        what is said in it
processed/{session}/responses/{upload}.json             the words of the answer, and whatever went wrong
processed/{session}/responses/{upload}.wav              its speech; or .ogg
processed/{session}/uploads/{upload}.json               the stages, each with its time

An upload is named by its time, so that a list of keys is in the order in which they came. No two uploads have one name.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import orjson
import structlog

from s2s.events import Role
from session.errors import AdmissionError
from session.events import HistoryTurn
from storage.errors import StorageError
from storage.objects import OWNER, ObjectStore, owner_mark

log = structlog.get_logger()

JSON: Final = "application/json"
STORE_SECONDS: Final = 10.0
"""Longest time for an object; nobody waits longer for an answer that is there."""
PAGES: Final = 5
"""Of a thousand keys each; a session with more uploads is told of none later."""


class StoreAway(AdmissionError):
    """What is to be stored cannot be, now."""

    code, message = "storage_unavailable", "The audio cannot be stored at the moment."


def new_upload(now: datetime) -> str:
    """Return the name of an upload that comes now (UTC)."""
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1_000:03}Z-{secrets.token_hex(4)}"


class UploadFiles:
    """The objects of one upload.

    Args:
        objects: the store; None keeps nothing.
        session_id: of the voice session.
        upload: names the upload.
        user_id: whose they are.
    """

    def __init__(self, objects: ObjectStore | None, session_id: str, upload: str, user_id: str) -> None:
        self._objects = objects
        self._session_id = session_id
        self._upload = upload
        mark = owner_mark(user_id)
        self._metadata = {"upload": upload, **({OWNER: mark} if mark else {})}

    @property
    def is_kept(self) -> bool:
        """Whether anything is kept."""
        return self._objects is not None

    async def audio(self, data: bytes, ending: str, content_type: str) -> str:
        """Keep the audio as it came; return its key."""
        return await self._put(f"voice-sessions/{self._session_id}/audio-{self._upload}.{ending}", data, content_type)

    async def transcription(self, told: Mapping[str, object]) -> str:
        """Keep what is said in it."""
        return await self._put(f"processed/{self._session_id}/transcriptions/{self._upload}.json", orjson.dumps(told), JSON)

    async def response(self, told: Mapping[str, object]) -> str:
        """Keep the words of the answer."""
        return await self._put(f"processed/{self._session_id}/responses/{self._upload}.json", orjson.dumps(told), JSON)

    async def speech(self, data: bytes, ending: str, content_type: str) -> str:
        """Keep its speech."""
        return await self._put(f"processed/{self._session_id}/responses/{self._upload}.{ending}", data, content_type)

    async def stages(self, told: Mapping[str, object]) -> str:
        """Keep how it went."""
        return await self._put(f"processed/{self._session_id}/uploads/{self._upload}.json", orjson.dumps(told), JSON)

    async def earlier(self, count: int) -> tuple[HistoryTurn, ...]:
        """Return what was said and answered in the latest recordings of the session, oldest first; nothing where it cannot be had."""
        if self._objects is None:
            return ()
        prefix = f"processed/{self._session_id}/responses/"
        keys: deque[str] = deque(maxlen=count)
        after: str | None = None
        try:
            async with asyncio.timeout(STORE_SECONDS):
                for _ in range(PAGES):
                    listed = await self._objects.list(prefix, after=after)
                    keys.extend(one.key for one in listed.objects if one.key.endswith(".json"))
                    if (after := listed.after) is None:
                        break
                found = await _read(self._objects, keys)
        except (StorageError, TimeoutError) as error:
            log.warning("upload.nothing_remembered", reason=type(error).__name__)
            return ()
        return tuple(turn for told in found if told is not None for turn in _turns(told))

    async def _put(self, key: str, data: bytes, content_type: str) -> str:
        """Write an object.

        Raises:
            StoreAway: it cannot be written now.
        """
        if self._objects is None:
            return ""
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await self._objects.put(key, data, content_type, self._metadata)
        except (StorageError, TimeoutError) as error:
            raise StoreAway from error
        return key


async def _read(objects: ObjectStore, keys: Iterable[str]) -> list[bytes | None]:
    """Return objects; the first that cannot be had ends the reading of the others."""
    try:
        async with asyncio.TaskGroup() as tasks:
            reads = [tasks.create_task(objects.get(key)) for key in keys]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [read.result() for read in reads]


def _turns(told: bytes) -> list[HistoryTurn]:
    """Return both turns of an answer that was kept; none of one that cannot be read."""
    try:
        read = orjson.loads(told)
        heard, text = str(read["heard"]), str(read["text"])
    except (ValueError, KeyError, TypeError):
        return []
    return [HistoryTurn(Role.USER, heard), HistoryTurn(Role.ASSISTANT, text)] if heard and text else []
