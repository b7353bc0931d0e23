"""The one interface that both stores of objects fit: recordings, uploads and what is made of them, under keys like paths.

An object appears whole, or not at all. What is uploaded in parts is safe from the end of each part on, also from the death of the process,
and appears when it is completed; what nobody completes is found by `salvage`. No error here carries a key: keys hold the names of sessions.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from storage.errors import InvalidRequest

MAX_KEY: Final = 512
"""Half of what S3 takes (user guide, "Object key names"): the folder adds to it, and paths of 4096 bytes are common."""
MAX_METADATA: Final = 16
MAX_METADATA_BYTES: Final = 1_024
"""Half of what S3 takes (user guide, "User-defined object metadata")."""
MAX_LINK: Final = timedelta(hours=12)
"""Longest life of a link; S3 allows seven days, as long as the credentials that sign it live."""
_SEGMENT: Final = r"[A-Za-z0-9_][A-Za-z0-9._=-]{0,199}"
_KEY: Final = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*")
_PREFIX: Final = re.compile(rf"({_SEGMENT}/)*({_SEGMENT})?")
_METADATA_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_METADATA_VALUE: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_CONTENT_TYPE: Final = re.compile(r"[a-z]+/[a-z0-9.+-]{1,60}(; ?[a-z]+=[a-z0-9.+-]{1,40})?")


OWNER: Final = "owner"
"""Name of the metadata that tells whose an object is."""
_OWNER_CHARACTERS: Final = 32


class Method(StrEnum):
    """What a link allows."""

    GET = "GET"
    PUT = "PUT"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of an object without its contents."""

    key: str
    size: int
    """Bytes."""
    modified_at: datetime
    """UTC."""
    content_type: str = ""
    """Empty in lists, as in S3."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Empty in lists, as in S3."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of a list, in the order of the keys."""

    objects: tuple[ObjectInfo, ...]
    after: str | None
    """Where the next page begins; None on the last."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a link for an upload is bound to: whoever has it can put exactly this."""

    content_type: str
    size: int
    """Bytes, exactly."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Beside the owner."""


@dataclass(frozen=True, slots=True)
class Link:
    """An address that works without a token until it expires."""

    url: str
    method: Method
    headers: Mapping[str, str]
    """Which the request has to carry."""
    expires_at: datetime


class Upload(Protocol):
    """One object that comes in parts. Every method may raise any StorageError."""

    async def part(self, data: bytes) -> None:
        """Append; what is appended survives this process once it returns. After an error the same bytes may be given again."""

    async def complete(self, head: bytes = b"") -> None:
        """Make the object appear, with `head` in the place of its first bytes. May be called again after an error."""

    async def abort(self) -> None:
        """Throw away what was appended."""


class ObjectStore(Protocol):
    """Keeps objects. Every method may raise any StorageError; InvalidRequest for keys, metadata and types that no driver takes."""

    async def put(self, key: str, data: bytes, content_type: str, metadata: Mapping[str, str] | None = None) -> None:
        """Write an object whole, in the place of what is there."""

    async def get(self, key: str, *, first: int = 0, last: int | None = None) -> bytes | None:
        """Return the contents, or the bytes from first to last, both included; None if there is no object."""

    async def head(self, key: str) -> ObjectInfo | None:
        """Return what is known of an object, or None."""

    async def list(self, prefix: str, *, limit: int = 1_000, after: str | None = None) -> Listed:
        """Return the objects whose keys begin so."""

    async def delete(self, key: str) -> None:
        """Remove an object, if there is one."""

    def upload(self, key: str, content_type: str, metadata: Mapping[str, str] | None = None) -> Upload:
        """Begin an object in parts; does no I/O."""

    async def salvage(self, prefix: str, idle: timedelta) -> tuple[str, ...]:
        """Complete the uploads to keys of this prefix that nobody has gone on with for so long; return their keys."""

    async def unfinished(self, prefix: str) -> frozenset[str]:
        """Return the keys of this prefix to which uploads have begun that are not complete."""

    async def presign(self, key: str, method: Method, seconds: int, *, owner: str = "", terms: Terms | None = None) -> Link:
        """Return a link to one object that expires.

        Args:
            key: of the object, which need not be there yet.
            method: GET reads, PUT writes.
            seconds: until it expires, MAX_LINK at most.
            owner: `owner_mark` of whom it is made for; what is put with it becomes theirs.
            terms: of what is put; a link for PUT needs them.
        """

    async def ping(self) -> None:
        """Look for something that is not there: proves that the store can be reached, and may be read."""

    async def aclose(self) -> None:
        """Finish what runs, and let everything go."""


def owner_mark(user_id: str) -> str:
    """Return what stands for a user in keys, metadata and links: nobody reads there who it is. Empty for nobody in particular."""
    return hashlib.sha256(f"owner of objects {user_id}".encode(errors="replace")).hexdigest()[:_OWNER_CHARACTERS] if user_id else ""


def check_key(key: str) -> str:
    """Return a key that every driver takes: parts of letters, digits and `._=-`, none of which begins with a dot, joined by slashes.

    Raises:
        InvalidRequest: it is another.
    """
    if len(key) > MAX_KEY or _KEY.fullmatch(key) is None:
        raise InvalidRequest("not the key of an object")
    return key


def check_prefix(prefix: str) -> str:
    """Return the beginning of keys; empty for all.

    Raises:
        InvalidRequest: no key begins so.
    """
    if len(prefix) > MAX_KEY or _PREFIX.fullmatch(prefix) is None:
        raise InvalidRequest("not the beginning of a key")
    return prefix


def check_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Return metadata that every driver takes: a few short texts of printable ASCII under names of small letters.

    Raises:
        InvalidRequest: there is too much, or something else.
    """
    found = dict(metadata or {})
    are_plain = all(_METADATA_NAME.fullmatch(name) and _METADATA_VALUE.fullmatch(value) for name, value in found.items())
    if len(found) > MAX_METADATA or sum(map(len, [*found, *found.values()])) > MAX_METADATA_BYTES or not are_plain:
        raise InvalidRequest("metadata that no store takes")
    return found


def check_content_type(content_type: str) -> str:
    """Return a content type like `audio/webm` or `audio/ogg; codecs=opus`.

    Raises:
        InvalidRequest: it is something else.
    """
    if _CONTENT_TYPE.fullmatch(content_type) is None:
        raise InvalidRequest("not a content type")
    return content_type


def check_link(method: Method, seconds: int, terms: Terms | None) -> None:
    """See that a link can be made.

    Raises:
        InvalidRequest: it lives too long or not at all, or is for an upload without terms.
    """
    if not 0 < seconds <= MAX_LINK.total_seconds() or (method is Method.PUT) != (terms is not None):
        raise InvalidRequest("no link can be made of this")
