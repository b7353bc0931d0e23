"""The S3 driver of the object store: boto3's low-level client in one bounded pool of threads.

A part of a multipart upload has 5 MiB at least, a quarter of an hour of Opus, and nobody sees what is in one until the upload is completed.
So each part of ours is an object at first, under `unfinished/`, safe once it is written. When all are there, they are read one by one,
joined, and put in their place: by one request, or by a multipart upload where they are more. A lifecycle rule of the bucket removes what is
old, here as there, and multipart uploads that nobody completed.

The endpoint is AWS's own choice: boto3 honours AWS_ENDPOINT_URL_S3.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from storage.errors import InvalidRequest, StorageDenied, StorageThrottled, StorageUnavailable
from storage.objects import (
    OWNER,
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

THREADS: Final = 8
WAITING: Final = 256
CONNECT_SECONDS: Final = 2.0
READ_SECONDS: Final = 10.0
ATTEMPTS: Final = 3
"""Of one request, the first included."""
PART_BYTES: Final = 8 * 1024 * 1024
"""Of a multipart upload: S3 takes 5 MiB at least, and 10 000 parts (user guide, "Multipart upload limits")."""
JOINED_AT_ONCE: Final = 2
"""Uploads that are joined at the same time: each holds PART_BYTES and one part of ours."""
PAGE: Final = 1_000
UNFINISHED: Final = "unfinished/"
"""Where parts wait to be joined."""
_MISSING: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_THROTTLED: Final = frozenset({"SlowDown", "ServiceUnavailable", "503", "RequestLimitExceeded", "ThrottlingException", "TooManyRequests"})
_DENIED: Final = frozenset({"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"})


class S3Client(Protocol):
    """What is used of boto3's client, beside its operations."""

    def generate_presigned_url(self, operation: str, *, Params: Mapping[str, object], ExpiresIn: int) -> str:  # noqa: N803 - boto3's names
        """Return a signed address."""

    def close(self) -> None:
        """Close the connections."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return an operation."""


class _Missing(Exception):
    """There is no such object."""


@dataclass(frozen=True, slots=True)
class Encryption:
    """How S3 encrypts what it keeps."""

    kms_key: str = ""
    """Id, ARN or alias of a key in KMS; empty for keys of S3's own (SSE-S3)."""

    @property
    def members(self) -> dict[str, str]:
        """What each request that writes carries."""
        if self.kms_key:
            return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key}
        return {"ServerSideEncryption": "AES256"}

    @property
    def headers(self) -> dict[str, str]:
        """The same for whoever writes by a link."""
        named = {"ServerSideEncryption": "x-amz-server-side-encryption", "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id"}
        return {named[member]: value for member, value in self.members.items()}


class S3Store:
    """The objects in one bucket.

    Args:
        client: a low-level client whose pool has as many connections as there are threads.
        bucket: its name.
        encryption: of what is written.
        clock: seconds since 1970, for links.
    """

    def __init__(self, client: S3Client, bucket: str, encryption: Encryption, *, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._bucket = bucket
        self._encryption = encryption
        self._clock = clock
        self._pool = BoundedPool("s3", THREADS, WAITING)
        self._joining = asyncio.Semaphore(JOINED_AT_ONCE)

    async def put(self, key: str, data: bytes, content_type: str, metadata: Mapping[str, str] | None = None) -> None:
        """Write an object whole, in the place of what is there."""
        await self._put(check_key(key), data, check_content_type(content_type), check_metadata(metadata))

    async def get(self, key: str, *, first: int = 0, last: int | None = None) -> bytes | None:
        """Return the contents, or a part of them; None if there is no object."""
        return await self._get(check_key(key), first, last)

    async def _get(self, key: str, first: int = 0, last: int | None = None) -> bytes | None:
        span = {} if first == 0 and last is None else {"Range": f"bytes={first}-{'' if last is None else last}"}
        try:
            return bytes(await self._call("get_object", {"Key": key, **span}, lambda answer: answer["Body"].read()))
        except _Missing:
            return None
        except _BehindTheEnd:
            return b""

    async def head(self, key: str) -> ObjectInfo | None:
        """Return what is known of an object, or None."""
        return await self._head(check_key(key))

    async def _head(self, key: str) -> ObjectInfo | None:
        try:
            answer = await self._call("head_object", {"Key": key})
        except _Missing:
            return None
        return ObjectInfo(key, answer["ContentLength"], answer["LastModified"], answer["ContentType"], answer.get("Metadata", {}))

    async def list(self, prefix: str, *, limit: int = 1_000, after: str | None = None) -> Listed:
        """Return the objects whose keys begin so."""
        return await self._list(check_prefix(prefix), limit, after)

    async def _list(self, prefix: str, limit: int, after: str | None) -> Listed:
        page = {"MaxKeys": min(limit, PAGE), **({} if after is None else {"StartAfter": after})}
        answer = await self._call("list_objects_v2", {"Prefix": prefix, **page})
        infos = tuple(ObjectInfo(one["Key"], one["Size"], one["LastModified"]) for one in answer.get("Contents", ()))
        return Listed(infos, infos[-1].key if answer.get("IsTruncated") and infos else None)

    async def delete(self, key: str) -> None:
        """Remove an object, if there is one."""
        await self._call("delete_object", {"Key": check_key(key)})

    def upload(self, key: str, content_type: str, metadata: Mapping[str, str] | None = None) -> "S3Upload":
        """Begin an object in parts."""
        return S3Upload(self, check_key(key), check_content_type(content_type), check_metadata(metadata))

    async def salvage(self, prefix: str, idle: timedelta) -> tuple[str, ...]:
        """Complete the uploads that nobody has gone on with for so long."""
        latest: dict[str, datetime] = {}
        async for part in self._all(f"{UNFINISHED}{check_prefix(prefix)}"):
            key = part.key.removeprefix(UNFINISHED).rpartition("/")[0]
            latest[key] = max(part.modified_at, latest.get(key, part.modified_at))
        before = datetime.fromtimestamp(self._clock(), UTC) - idle
        found = [key for key, modified_at in latest.items() if modified_at <= before]
        for key in found:
            await self.join(key, b"")
        return tuple(found)

    async def unfinished(self, prefix: str) -> frozenset[str]:
        """Return the keys to which uploads have begun that are not complete."""
        parts = [part.key async for part in self._all(f"{UNFINISHED}{check_prefix(prefix)}")]
        return frozenset(key.removeprefix(UNFINISHED).rpartition("/")[0] for key in parts)

    async def presign(self, key: str, method: Method, seconds: int, *, owner: str = "", terms: Terms | None = None) -> Link:
        """Return a link to one object that expires; S3 holds an upload to its size, its type and its owner by the signature."""
        check_link(method, seconds, terms)
        members: dict[str, object] = {"Bucket": self._bucket, "Key": check_key(key)}
        headers: dict[str, str] = {}
        if terms is not None:
            metadata = check_metadata({**terms.metadata, **({OWNER: owner} if owner else {})})
            members |= {"ContentType": check_content_type(terms.content_type), "ContentLength": terms.size, "Metadata": metadata}
            members |= self._encryption.members
            headers = {"Content-Type": terms.content_type, **self._encryption.headers}
            headers |= {f"x-amz-meta-{name}": value for name, value in metadata.items()}
        operation = "put_object" if method is Method.PUT else "get_object"
        sign = partial(self._client.generate_presigned_url, operation, Params=members, ExpiresIn=seconds)
        url = await self._pool.run(lambda: _translated(sign))  # the credentials may have to be renewed first
        return Link(url, method, headers, datetime.fromtimestamp(int(self._clock()) + seconds, UTC))

    async def ping(self) -> None:
        """See that the bucket is there and may be listed."""
        await self._list("ping/", 1, None)

    async def aclose(self) -> None:
        """Finish what runs and close the connections."""
        await self._pool.aclose()
        await asyncio.to_thread(self._client.close)

    async def put_part(self, key: str, number: int, data: bytes, content_type: str, metadata: Mapping[str, str]) -> None:
        """Write down one part of an upload."""
        await self._put(_part_key(key, number), data, content_type, metadata)

    async def join(self, key: str, head: bytes) -> None:
        """Make one object of the parts of an upload, with `head` in the place of its first bytes; nothing where that was done before."""
        async with self._joining:
            parts = [part.key async for part in self._all(f"{UNFINISHED}{key}/")]
            info = await self._head(parts[0]) if parts and parts[0] == _part_key(key, 0) else None
            if info is not None:
                await self._join(key, info, parts, head)
        await self.drop_parts(key)  # parts without a beginning are of use to nobody: it was joined while nobody went on with it

    async def drop_parts(self, key: str) -> None:
        """Remove the parts of an upload."""
        for part in [part.key async for part in self._all(f"{UNFINISHED}{key}/")][
            ::-1
        ]:  # the first last: it tells that the others are whole
            await self.delete(part)

    async def _join(self, key: str, info: ObjectInfo, parts: Sequence[str], head: bytes) -> None:
        pieces = self._pieces(parts, head)
        first = await anext(pieces)
        second = await anext(pieces, None)
        if second is None:
            await self._put(key, first, info.content_type, info.metadata)
            return
        form = {"ContentType": info.content_type, "Metadata": dict(info.metadata), **self._encryption.members}
        upload = (await self._call("create_multipart_upload", {"Key": key, **form}))["UploadId"]
        try:
            tags = [await self._upload_part(key, upload, 1, first), await self._upload_part(key, upload, 2, second)]
            async for piece in pieces:
                tags.append(await self._upload_part(key, upload, len(tags) + 1, piece))
            await self._call("complete_multipart_upload", {"Key": key, "UploadId": upload, "MultipartUpload": {"Parts": tags}})
        except BaseException:
            await asyncio.shield(self._call("abort_multipart_upload", {"Key": key, "UploadId": upload}))
            raise

    async def _upload_part(self, key: str, upload: str, number: int, data: bytes) -> dict[str, object]:
        answer = await self._call("upload_part", {"Key": key, "UploadId": upload, "PartNumber": number, "Body": data})
        return {"PartNumber": number, "ETag": answer["ETag"]}

    async def _pieces(self, parts: Sequence[str], head: bytes) -> AsyncIterator[bytes]:
        """Yield the contents of an upload in pieces of PART_BYTES, the last shorter, with `head` in the place of its first bytes."""
        waiting, place = bytearray(), 0
        for part in parts:
            data = await self._get(part)
            if data is None:
                raise StorageUnavailable("S3: a part of the upload is gone")
            new = head[place : place + len(data)]
            waiting += new + data[len(new) :]
            place += len(data)
            while len(waiting) >= PART_BYTES:
                yield bytes(waiting[:PART_BYTES])
                del waiting[:PART_BYTES]
        if waiting or not place:
            yield bytes(waiting)

    async def _put(self, key: str, data: bytes, content_type: str, metadata: Mapping[str, str]) -> None:
        form = {"ContentType": content_type, "Metadata": dict(metadata), **self._encryption.members}
        await self._call("put_object", {"Key": key, "Body": data, **form})

    async def _all(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        after: str | None = None
        while True:
            listed = await self._list(prefix, PAGE, after)
            for info in listed.objects:
                yield info
            if (after := listed.after) is None:
                return

    async def _call(self, operation: str, members: Mapping[str, object], read: Callable[[Any], Any] = lambda answer: answer) -> Any:
        """Send one request and return what is wanted of its answer, which is taken out of it in the thread."""
        send = getattr(self._client, operation)
        return await self._pool.run(lambda: _translated(lambda: read(send(Bucket=self._bucket, **members))))


class S3Upload:
    """An object that comes in parts.

    Args:
        store: it belongs to.
        key: of the object.
        content_type: of the same.
        metadata: of the same.
    """

    def __init__(self, store: S3Store, key: str, content_type: str, metadata: Mapping[str, str]) -> None:
        self._store = store
        self._key = key
        self._form = (content_type, metadata)
        self._number = 0

    async def part(self, data: bytes) -> None:
        """Append; it is in S3 when this returns."""
        await self._store.put_part(self._key, self._number, data, *self._form)
        self._number += 1

    async def complete(self, head: bytes = b"") -> None:
        """Make the object appear."""
        if not self._number:
            await self.part(b"")
        await self._store.join(self._key, head)

    async def abort(self) -> None:
        """Throw away what was appended."""
        await self._store.drop_parts(self._key)


class _BehindTheEnd(Exception):
    """The object ends before the bytes that are asked for."""


async def open_s3(region: str, bucket: str, encryption: Encryption) -> S3Store:
    """Return the objects of a bucket, with a client that is ready: making one takes time, which no conversation should wait for.

    Raises:
        StorageDenied: there are no credentials.
    """
    return S3Store(await asyncio.to_thread(_make_client, region), bucket, encryption)


def _make_client(region: str) -> S3Client:
    config = Config(
        max_pool_connections=THREADS,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        signature_version="s3v4",
        tcp_keepalive=True,
    )
    try:
        session = boto3.session.Session(region_name=region)
        client: S3Client = session.client("s3", config=config)
        credentials = session.get_credentials()
    except BotoCoreError as error:
        raise StorageDenied(f"S3: {error}") from error
    if credentials is None:
        raise StorageDenied("S3: there are no AWS credentials")
    return client


def _part_key(key: str, number: int) -> str:
    return f"{UNFINISHED}{key}/{number:08}"


def _translated[T](call: Callable[[], T]) -> T:
    try:
        return call()
    except (ClientError, BotoCoreError) as error:
        raise _translate(error) from None  # the texts of the service quote keys


def _translate(error: Exception) -> Exception:
    if isinstance(error, ClientError):
        return _by_code(str(error.response.get("Error", {}).get("Code", "")))
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return StorageDenied("S3: there are no AWS credentials")
    return StorageUnavailable(f"S3: {type(error).__name__}")


def _by_code(code: str) -> Exception:
    if code in _MISSING:
        return _Missing()
    if code in {"InvalidRange", "416"}:
        return _BehindTheEnd()
    if code in _THROTTLED:
        return StorageThrottled(f"S3: {code}")
    if code in _DENIED:
        return StorageDenied(f"S3: {code}")
    if code in {"InvalidArgument", "InvalidRequest", "KeyTooLongError", "MetadataTooLarge", "EntityTooLarge"}:
        return InvalidRequest(f"S3: {code}")
    return StorageUnavailable(f"S3: {code}")
