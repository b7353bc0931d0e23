"""The embedded driver of the object store: a directory, for its owner alone, and links that we sign ourselves.

An object is a file under its key, and beside it a hidden one that holds its type and metadata as JSON. What comes in parts grows elsewhere,
each part on the disk before `part` returns, and is renamed into its place. All of this is done in a few threads.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import orjson

from storage.errors import InvalidRequest, StorageDenied, StorageUnavailable
from storage.object_links import LinkSigner, Ticket
from storage.objects import (
    Link,
    Listed,
    Method,
    ObjectInfo,
    Terms,
    check_content_type,
    check_key,
    check_link,
    check_metadata,
    check_prefix,
)
from storage.workers import BoundedPool

THREADS: Final = 4
WAITING: Final = 256
TRIES: Final = 3
"""A folder that was empty can be removed between the moment in which it is made and the one in which it is used."""
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600


class FolderStore:
    """The objects in one directory.

    Args:
        root: the directory; it is made. Nothing else may be in it.
        signer: makes links.
        address: where the server answers them, without a query.
        clock: seconds since 1970.
    """

    def __init__(self, root: Path, signer: LinkSigner, address: str, *, clock: Callable[[], float] = time.time) -> None:
        self.signer = signer
        self._objects, self._unfinished = root / "objects", root / "unfinished"
        self._address = address
        self._clock = clock
        self._pool = BoundedPool("objects", THREADS, WAITING)

    async def put(self, key: str, data: bytes, content_type: str, metadata: Mapping[str, str] | None = None) -> None:
        """Write an object whole, in the place of what is there."""
        path, notes = self._objects / check_key(key), _notes(content_type, metadata)
        await self._run(lambda: _again(lambda: _put(path, data, notes)))

    async def get(self, key: str, *, first: int = 0, last: int | None = None) -> bytes | None:
        """Return the contents, or a part of them; None if there is no object."""
        path = self._objects / check_key(key)
        return await self._run(lambda: _get(path, first, last))

    async def head(self, key: str) -> ObjectInfo | None:
        """Return what is known of an object, or None."""
        path = self._objects / check_key(key)
        return await self._run(lambda: _head(path, key))

    async def list(self, prefix: str, *, limit: int = 1_000, after: str | None = None) -> Listed:
        """Return the objects whose keys begin so."""
        check_prefix(prefix)
        return await self._run(lambda: _list(self._objects, prefix, limit, after))

    async def delete(self, key: str) -> None:
        """Remove an object, if there is one."""
        path = self._objects / check_key(key)
        await self._run(lambda: _delete(path, self._objects))

    def upload(self, key: str, content_type: str, metadata: Mapping[str, str] | None = None) -> "FolderUpload":
        """Begin an object in parts."""
        notes = _notes(content_type, metadata)
        return FolderUpload(self._unfinished / check_key(key), self._objects / key, notes, self._run)

    async def salvage(self, prefix: str, idle: timedelta) -> tuple[str, ...]:
        """Complete the uploads that nobody has gone on with for so long."""
        check_prefix(prefix)
        return await self._run(lambda: self._salvage(prefix, self._clock() - idle.total_seconds()))

    async def unfinished(self, prefix: str) -> frozenset[str]:
        """Return the keys to which uploads have begun that are not complete."""
        check_prefix(prefix)
        return await self._run(lambda: frozenset(key for key, _ in _walk(self._unfinished, prefix)))

    async def presign(self, key: str, method: Method, seconds: int, *, owner: str = "", terms: Terms | None = None) -> Link:
        """Return a link to one object that expires; its address is the server's own, without a host."""
        check_link(method, seconds, terms)
        headers = {} if terms is None else {"Content-Type": check_content_type(terms.content_type)}
        ticket = Ticket(method, check_key(key), owner, int(self._clock()) + seconds, terms)
        expires_at = datetime.fromtimestamp(ticket.expires, UTC)
        return Link(f"{self._address}?{self.signer.sign(ticket)}", method, headers, expires_at)

    async def ping(self) -> None:
        """See that the directory is there and can be written to."""
        await self._run(lambda: self._objects.mkdir(_FOLDER_MODE, parents=True, exist_ok=True))

    async def aclose(self) -> None:
        """Finish what runs."""
        await self._pool.aclose()

    def _salvage(self, prefix: str, before: float) -> tuple[str, ...]:
        found = sorted(key for key, path in _walk(self._unfinished, prefix) if path.stat().st_mtime <= before)
        for key in found:
            _complete(self._unfinished / key, self._objects / key, b"")
        return tuple(found)

    async def _run[T](self, call: Callable[[], T]) -> T:
        return await self._pool.run(lambda: _translated(call))


class Runner(Protocol):
    """Runs a call in a thread and returns its result."""

    async def __call__[T](self, call: Callable[[], T]) -> T:
        """Run a call."""


class FolderUpload:
    """An object that grows.

    Args:
        draft: where it grows.
        place: where it goes.
        notes: its type and metadata.
        run: runs a call in a thread.
    """

    def __init__(self, draft: Path, place: Path, notes: bytes, run: Runner) -> None:
        self._draft, self._place = draft, place
        self._notes = notes
        self._run = run
        self._size = 0

    async def part(self, data: bytes) -> None:
        """Append; it is on the disk when this returns."""
        start = self._size  # given again after an error, the same bytes go to the same place
        await self._run(lambda: _again(lambda: _append(self._draft, start, data, self._notes)))
        self._size = start + len(data)

    async def complete(self, head: bytes = b"") -> None:
        """Make the object appear."""
        if not self._size:
            await self.part(b"")
        await self._run(lambda: _again(lambda: _complete(self._draft, self._place, head)))

    async def abort(self) -> None:
        """Throw away what was appended."""
        await self._run(lambda: _discard(self._draft))


def _translated[T](call: Callable[[], T]) -> T:
    try:
        return call()
    except (NotADirectoryError, IsADirectoryError, FileExistsError):
        raise InvalidRequest("one object's key is the beginning of another's, which a directory cannot have") from None
    except PermissionError:
        raise StorageDenied("the directory of the objects may not be used") from None
    except OSError as error:
        raise StorageUnavailable(f"the directory of the objects: {error.strerror}") from None


def _again[T](call: Callable[[], T]) -> T:
    for _ in range(TRIES - 1):
        with suppress(FileNotFoundError):
            return call()
    return call()


def _notes(content_type: str, metadata: Mapping[str, str] | None) -> bytes:
    return orjson.dumps({"contentType": check_content_type(content_type), "metadata": check_metadata(metadata)})


def _notes_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")


def _write(path: Path, data: bytes) -> None:
    """Write a file whole, or not at all."""
    path.parent.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}.new")
    number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _FILE_MODE)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _put(path: Path, data: bytes, notes: bytes) -> None:
    _write(_notes_path(path), notes)
    _write(path, data)


def _get(path: Path, first: int, last: int | None) -> bytes | None:
    try:
        with path.open("rb") as file:
            file.seek(first)
            return file.read() if last is None else file.read(max(0, last - first + 1))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None


def _head(path: Path, key: str) -> ObjectInfo | None:
    try:
        found, notes = path.stat(), orjson.loads(_notes_path(path).read_bytes())
    except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError):
        return None
    return ObjectInfo(key, found.st_size, _instant(found.st_mtime), str(notes["contentType"]), dict(notes["metadata"]))


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _list(root: Path, prefix: str, limit: int, after: str | None) -> Listed:
    keys = sorted(key for key, _ in _walk(root, prefix) if after is None or key > after)
    infos: list[ObjectInfo] = []
    for key in keys[:limit]:
        with suppress(FileNotFoundError):  # removed since
            found = (root / key).stat()
            infos.append(ObjectInfo(key, found.st_size, _instant(found.st_mtime)))
    return Listed(tuple(infos), keys[limit - 1] if len(keys) > limit else None)


def _walk(root: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    """Yield every object whose key begins so; hidden files are none."""
    for folder, folders, files in os.walk(root / prefix.rpartition("/")[0]):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(folder, name)
            key = path.relative_to(root).as_posix()
            if not name.startswith(".") and key.startswith(prefix):
                yield key, path


def _delete(path: Path, root: Path) -> None:
    if path.is_dir():  # the beginning of other keys
        return
    with suppress(NotADirectoryError):
        path.unlink(missing_ok=True)
        _notes_path(path).unlink(missing_ok=True)
        _prune(path.parent, root)


def _prune(folder: Path, root: Path) -> None:
    """Remove folders that are empty now."""
    with suppress(OSError):
        while folder != root and root in folder.parents:
            folder.rmdir()
            folder = folder.parent


def _append(draft: Path, start: int, data: bytes, notes: bytes) -> None:
    if start == 0:
        _write(_notes_path(draft), notes)
    number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (os.O_TRUNC if start == 0 else 0), _FILE_MODE)
    with os.fdopen(number, "wb") as file:
        file.seek(start)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _complete(draft: Path, place: Path, head: bytes) -> None:
    if not draft.exists() and place.exists():
        return  # it was completed, and only the answer was lost
    if head:
        with draft.open("r+b") as file:
            file.write(head)
            file.flush()
            os.fsync(file.fileno())
    place.parent.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
    _write(_notes_path(place), _notes_path(draft).read_bytes())
    draft.replace(place)
    _discard(draft)


def _discard(draft: Path) -> None:
    draft.unlink(missing_ok=True)
    _notes_path(draft).unlink(missing_ok=True)
    with suppress(OSError):
        draft.parent.rmdir()
