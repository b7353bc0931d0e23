"""What S3 alone has: encryption, multipart uploads, and links whose signature holds the upload to its terms."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest

from storage.errors import StorageDenied, StorageError, StorageThrottled, StorageUnavailable
from storage.object_s3 import PART_BYTES, Encryption, S3Store, open_s3
from storage.objects import Link, Method, Terms, owner_mark
from tests import ministack

pytestmark = pytest.mark.dynamodb


class Listener:
    """Passes requests on to S3, and remembers them."""

    def __init__(self, store: S3Store) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._store = store
        self._client = store._client
        self.before: Callable[[str], None] = lambda operation: None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def send(**members: Any) -> Any:
            self.requests.append((name, members))
            self.before(name)
            return getattr(self._client, name)(**members)

        return send

    def of(self, operation: str) -> list[dict[str, Any]]:
        return [members for name, members in self.requests if name == operation]


@pytest.fixture
def listener(s3: S3Store, monkeypatch: pytest.MonkeyPatch) -> Listener:
    found = Listener(s3)
    monkeypatch.setattr(s3, "_client", found)
    return found


@pytest.mark.req("S0-05")
@pytest.mark.parametrize("key", ["", "alias/recordings"])
async def test_whatever_is_written_is_encrypted(s3: S3Store, listener: Listener, place: str, key: str) -> None:
    expected = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {"ServerSideEncryption": "AES256"}
    s3 = S3Store(listener, s3._bucket, Encryption(key))
    await s3.put(f"{place}/a", b"x", "text/plain")
    upload = s3.upload(f"{place}/b", "text/plain")
    await upload.part(bytes(PART_BYTES))
    await upload.part(b"x")
    await upload.complete()
    writes = [*listener.of("put_object"), *listener.of("create_multipart_upload")]

    assert len(writes) == 4
    assert [{name: one.get(name) for name in expected} for one in writes] == [expected] * 4


async def test_much_is_joined_by_a_multipart_upload_of_parts_that_s3_takes(s3: S3Store, listener: Listener, place: str) -> None:
    upload = s3.upload(f"{place}/a", "audio/wav", {"owner": "ana"})
    for number in range(5):
        await upload.part(bytes([number]) * (4 * 1024 * 1024))
    await upload.complete(b"head")
    whole = await s3.get(f"{place}/a")
    info = await s3.head(f"{place}/a")

    assert whole is not None
    assert info is not None
    assert whole == b"head" + b"".join(bytes([number]) * (4 * 1024 * 1024) for number in range(5))[4:]
    assert (info.content_type, info.metadata) == ("audio/wav", {"owner": "ana"})
    assert [len(one["Body"]) for one in listener.of("upload_part")] == [PART_BYTES, PART_BYTES, 4 * 1024 * 1024]


async def test_a_multipart_upload_that_fails_is_given_up_and_done_again(s3: S3Store, listener: Listener, place: str) -> None:
    upload = s3.upload(f"{place}/a", "audio/wav")
    await upload.part(bytes(PART_BYTES))
    await upload.part(b"x")

    def fails(operation: str) -> None:
        if operation == "complete_multipart_upload":
            listener.before = lambda _: None
            raise boto3.client("s3", region_name=ministack.REGION).exceptions.ClientError({"Error": {"Code": "SlowDown"}}, operation)

    listener.before = fails
    with pytest.raises(StorageThrottled):
        await upload.complete()
    await upload.complete()

    assert len(listener.of("abort_multipart_upload")) == 1
    assert await s3.get(f"{place}/a") == bytes(PART_BYTES) + b"x"
    assert (await s3.list(f"unfinished/{place}")).objects == ()


async def test_what_was_salvaged_meanwhile_stays_as_it_is(s3: S3Store, place: str) -> None:
    upload = s3.upload(f"{place}/a", "audio/ogg")
    await upload.part(b"first")
    await s3.salvage(f"{place}/", timedelta(0))
    await upload.part(b"second")
    await upload.complete()

    assert await s3.get(f"{place}/a") == b"first"
    assert (await s3.list(f"unfinished/{place}")).objects == ()


async def test_two_that_salvage_at_the_same_time_make_one_object(s3: S3Store, place: str) -> None:
    upload = s3.upload(f"{place}/a", "audio/ogg")
    for number in range(5):
        await upload.part(str(number).encode())
    results = await asyncio.gather(*(s3.salvage(f"{place}/", timedelta(0)) for _ in range(2)), return_exceptions=True)

    assert await s3.get(f"{place}/a") == b"01234"
    assert [one for one in results if isinstance(one, BaseException) and not isinstance(one, StorageUnavailable)] == []


def fetched(link: Link, *, url: str = "", data: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Use a link, or something that was made of one."""
    request = urllib.request.Request(url or link.url, data, dict(link.headers) | (headers or {}), method=link.method.value)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.req("S0-15")
async def test_a_link_reads_the_object_without_credentials(s3: S3Store, place: str) -> None:
    await s3.put(f"{place}/a", b"sound", "audio/wav")
    link = await s3.presign(f"{place}/a", Method.GET, 60)

    assert await asyncio.to_thread(fetched, link) == (200, b"sound")
    assert parse_qs(urlsplit(link.url).query)["X-Amz-Expires"] == ["60"]


@pytest.mark.req("S0-15")
async def test_a_link_that_was_changed_or_is_too_old_reads_nothing(s3: S3Store, place: str) -> None:
    for name in ("a", "b"):
        await s3.put(f"{place}/{name}", b"sound", "audio/wav")
    link = await s3.presign(f"{place}/a", Method.GET, 1)
    other = await asyncio.to_thread(fetched, link, url=link.url.replace(f"{place}/a", f"{place}/b"))
    longer = await asyncio.to_thread(fetched, link, url=link.url.replace("X-Amz-Expires=1", "X-Amz-Expires=600"))
    link = await s3.presign(f"{place}/a", Method.GET, 1)
    date = parse_qs(urlsplit(link.url).query)["X-Amz-Date"][0]
    earlier = await asyncio.to_thread(fetched, link, url=link.url.replace(date, f"2020{date[4:]}"))

    assert [other[0], longer[0], earlier[0]] == [403, 403, 403]


@pytest.mark.req("S0-15", "S0-05")
async def test_a_link_for_an_upload_takes_exactly_what_it_was_made_for(s3: S3Store, place: str) -> None:
    mark = owner_mark("ana")
    link = await s3.presign(f"{place}/a", Method.PUT, 60, owner=mark, terms=Terms("audio/webm", 5))
    refused = [
        await asyncio.to_thread(fetched, link, data=b"more than five"),
        await asyncio.to_thread(fetched, link, data=b"sound", headers={"Content-Type": "text/html"}),
        await asyncio.to_thread(fetched, link, data=b"sound", headers={"x-amz-meta-owner": owner_mark("bob")}),
    ]
    before = await s3.head(f"{place}/a")
    taken = await asyncio.to_thread(fetched, link, data=b"sound")
    info = await s3.head(f"{place}/a")
    signed = parse_qs(urlsplit(link.url).query)["X-Amz-SignedHeaders"][0].split(";")

    assert [status for status, _ in refused] == [403, 403, 403]
    assert before is None
    assert taken[0] == 200
    assert info is not None
    assert (info.size, info.content_type, info.metadata) == (5, "audio/webm", {"owner": mark})
    assert "x-amz-server-side-encryption" in signed


async def test_without_a_bucket_the_store_is_away(s3: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_bucket", "no-such-bucket-of-ours")
    with pytest.raises(StorageUnavailable):
        await s3.ping()
    with pytest.raises(StorageUnavailable):
        await s3.put("a", b"x", "text/plain")


async def test_without_an_answer_the_store_is_away_and_says_no_more(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    for name, value in ministack.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    store = await open_s3(ministack.REGION, "some-bucket", Encryption())
    with pytest.raises(StorageUnavailable) as error:
        await store.put(f"{place}/secret-session", b"x", "text/plain")
    await store.aclose()

    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("code", "expected"),
    [("SlowDown", StorageThrottled), ("AccessDenied", StorageDenied), ("InternalError", StorageUnavailable), ("", StorageUnavailable)],
)
async def test_what_s3_says_becomes_an_error_of_ours(
    s3: S3Store, listener: Listener, place: str, code: str, expected: type[StorageError]
) -> None:
    def fails(operation: str) -> None:
        raise boto3.client("s3", region_name=ministack.REGION).exceptions.ClientError({"Error": {"Code": code}}, operation)

    listener.before = fails
    with pytest.raises(expected):
        await s3.put(f"{place}/a", b"x", "text/plain")
