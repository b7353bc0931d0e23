"""Every store of objects holds to the same rules."""

from datetime import UTC, datetime, timedelta

import pytest

from storage.errors import InvalidRequest
from storage.objects import Method, ObjectStore, Terms, owner_mark

NOTHING = timedelta(0)


async def test_what_is_put_can_be_read_again_with_its_type_and_metadata(objects: ObjectStore, place: str) -> None:
    await objects.put(f"{place}/a.wav", b"sound", "audio/wav", {"owner": "ana", "note": "two words"})
    info = await objects.head(f"{place}/a.wav")

    assert await objects.get(f"{place}/a.wav") == b"sound"
    assert info is not None
    assert (info.key, info.size, info.content_type) == (f"{place}/a.wav", 5, "audio/wav")
    assert info.metadata == {"owner": "ana", "note": "two words"}
    assert abs(datetime.now(UTC) - info.modified_at) < timedelta(minutes=2)


async def test_what_is_put_again_replaces_what_was_there(objects: ObjectStore, place: str) -> None:
    await objects.put(f"{place}/a", b"longer than before", "text/plain", {"owner": "ana"})
    await objects.put(f"{place}/a", b"short", "text/html")
    info = await objects.head(f"{place}/a")

    assert await objects.get(f"{place}/a") == b"short"
    assert info is not None
    assert (info.content_type, dict(info.metadata)) == ("text/html", {})


async def test_what_is_not_there_is_none(objects: ObjectStore, place: str) -> None:
    await objects.put(f"{place}/folder/a", b"x", "text/plain")

    assert await objects.get(f"{place}/b") is None
    assert await objects.head(f"{place}/b") is None
    assert await objects.get(f"{place}/folder") is None
    assert await objects.head(f"{place}/folder") is None


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(0, None, b"0123456789"), (0, 0, b"0"), (3, 5, b"345"), (7, None, b"789"), (7, 99, b"789"), (9, 9, b"9")],
)
async def test_a_part_of_it_can_be_read(objects: ObjectStore, place: str, first: int, last: int | None, expected: bytes) -> None:
    await objects.put(f"{place}/a", b"0123456789", "text/plain")

    assert await objects.get(f"{place}/a", first=first, last=last) == expected


async def test_what_lies_behind_the_end_is_empty(objects: ObjectStore, place: str) -> None:
    await objects.put(f"{place}/a", b"0123456789", "text/plain")

    assert await objects.get(f"{place}/a", first=10) == b""


async def test_a_list_has_the_objects_of_a_prefix_in_the_order_of_their_keys(objects: ObjectStore, place: str) -> None:
    for name in ("b/2", "b-1", "a", "b/10", "c", "b.1"):
        await objects.put(f"{place}/{name}", name.encode(), "text/plain")
    listed = await objects.list(f"{place}/b")

    assert [one.key for one in listed.objects] == [f"{place}/{name}" for name in ("b-1", "b.1", "b/10", "b/2")]
    assert [one.size for one in listed.objects] == [3, 3, 4, 3]
    assert listed.after is None


async def test_a_long_list_comes_in_pages(objects: ObjectStore, place: str) -> None:
    for number in range(5):
        await objects.put(f"{place}/{number}", b"x", "text/plain")
    first = await objects.list(f"{place}/", limit=2)
    second = await objects.list(f"{place}/", limit=2, after=first.after)
    third = await objects.list(f"{place}/", limit=2, after=second.after)

    assert [one.key[-1] for page in (first, second, third) for one in page.objects] == ["0", "1", "2", "3", "4"]
    assert third.after is None


async def test_what_is_deleted_is_gone_and_may_be_deleted_again(objects: ObjectStore, place: str) -> None:
    await objects.put(f"{place}/deep/down/a", b"x", "text/plain")
    await objects.delete(f"{place}/deep/down/a")
    await objects.delete(f"{place}/deep/down/a")
    await objects.delete(f"{place}/deep")

    assert await objects.head(f"{place}/deep/down/a") is None
    assert (await objects.list(f"{place}/")).objects == ()


async def test_what_comes_in_parts_appears_when_it_is_complete(objects: ObjectStore, place: str) -> None:
    upload = objects.upload(f"{place}/a.ogg", "audio/ogg", {"owner": "ana"})
    await upload.part(b"one ")
    await upload.part(b"two ")
    before = (await objects.head(f"{place}/a.ogg"), (await objects.list(f"{place}/")).objects)
    await upload.part(b"three")
    await upload.complete()
    info = await objects.head(f"{place}/a.ogg")

    assert before == (None, ())
    assert await objects.get(f"{place}/a.ogg") == b"one two three"
    assert info is not None
    assert (info.content_type, info.metadata) == ("audio/ogg", {"owner": "ana"})


async def test_the_beginning_can_be_put_right_at_the_end(objects: ObjectStore, place: str) -> None:
    upload = objects.upload(f"{place}/a", "audio/wav")
    for part in (b"ab", b"cd", b"ef"):
        await upload.part(part)
    await upload.complete(b"ABC")

    assert await objects.get(f"{place}/a") == b"ABCdef"


async def test_completing_again_changes_nothing(objects: ObjectStore, place: str) -> None:
    upload = objects.upload(f"{place}/a", "audio/wav")
    await upload.part(b"abc")
    await upload.complete(b"X")
    await upload.complete(b"X")

    assert await objects.get(f"{place}/a") == b"Xbc"


async def test_an_upload_without_a_part_makes_an_empty_object(objects: ObjectStore, place: str) -> None:
    await objects.upload(f"{place}/a", "text/plain", {"owner": "ana"}).complete()
    info = await objects.head(f"{place}/a")

    assert info is not None
    assert (info.size, info.metadata) == (0, {"owner": "ana"})


async def test_an_upload_that_is_given_up_leaves_nothing(objects: ObjectStore, place: str) -> None:
    upload = objects.upload(f"{place}/a", "text/plain")
    await upload.part(b"abc")
    await upload.abort()

    assert await objects.salvage(f"{place}/", NOTHING) == ()
    assert await objects.head(f"{place}/a") is None


async def test_what_nobody_completed_is_salvaged_with_all_its_parts(objects: ObjectStore, place: str) -> None:
    for name in ("a", "b"):
        upload = objects.upload(f"{place}/{name}", "audio/ogg", {"owner": name})
        await upload.part(b"first ")
        await upload.part(b"second")
    await objects.upload("elsewhere", "audio/ogg").part(b"x")

    assert await objects.salvage(f"{place}/", NOTHING) == (f"{place}/a", f"{place}/b")
    info = await objects.head(f"{place}/b")
    assert await objects.get(f"{place}/b") == b"first second"
    assert info is not None
    assert (info.content_type, info.metadata) == ("audio/ogg", {"owner": "b"})
    assert await objects.salvage(f"{place}/", NOTHING) == ()


async def test_what_somebody_goes_on_with_is_left_alone(objects: ObjectStore, place: str) -> None:
    await objects.upload(f"{place}/a", "audio/ogg").part(b"x")

    assert await objects.salvage(f"{place}/", timedelta(hours=1)) == ()
    assert await objects.head(f"{place}/a") is None


async def test_what_has_begun_is_unfinished_until_it_is_complete_or_given_up(objects: ObjectStore, place: str) -> None:
    uploads = {name: objects.upload(f"{place}/{name}", "audio/ogg") for name in ("a", "b", "c", "d")}
    for name in ("a", "b", "c"):
        await uploads[name].part(b"x")
    begun = await objects.unfinished(f"{place}/")
    await uploads["a"].complete()
    await uploads["b"].abort()

    assert begun == {f"{place}/{name}" for name in ("a", "b", "c")}
    assert await objects.unfinished(f"{place}/") == {f"{place}/c"}


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "..",
        "../a",
        "a/../b",
        "a/.b",
        ".a",
        "a\\b",
        "a b",
        "a\n",
        "a\0",
        "a%2fb",
        "é",
        "a" * 201,
        "a/" * 256 + "a",
    ],
)
async def test_no_key_leads_elsewhere(objects: ObjectStore, key: str) -> None:
    with pytest.raises(InvalidRequest):
        await objects.put(key, b"x", "text/plain")
    with pytest.raises(InvalidRequest):
        await objects.get(key)
    with pytest.raises(InvalidRequest):
        await objects.head(key)
    with pytest.raises(InvalidRequest):
        await objects.delete(key)
    with pytest.raises(InvalidRequest):
        objects.upload(key, "text/plain")
    with pytest.raises(InvalidRequest):
        await objects.presign(key, Method.GET, 60)


@pytest.mark.parametrize("prefix", ["/", "../", "a/../", ".", "a//", "a b", "*"])
async def test_no_prefix_leads_elsewhere(objects: ObjectStore, prefix: str) -> None:
    with pytest.raises(InvalidRequest):
        await objects.list(prefix)
    with pytest.raises(InvalidRequest):
        await objects.salvage(prefix, NOTHING)


@pytest.mark.parametrize(
    ("content_type", "metadata"),
    [
        ("", {}),
        ("html", {}),
        ("text/html\r\nSet-Cookie: a=b", {}),
        ("text/plain", {"A": "b"}),
        ("text/plain", {"a": ""}),
        ("text/plain", {"a": "b\r\nc"}),
        ("text/plain", {"a": "ñ"}),
        ("text/plain", {"a": "x" * 1_024}),
        ("text/plain", {f"a{number}": "x" for number in range(17)}),
    ],
)
async def test_types_and_metadata_are_those_that_every_store_takes(
    objects: ObjectStore, place: str, content_type: str, metadata: dict[str, str]
) -> None:
    with pytest.raises(InvalidRequest):
        await objects.put(f"{place}/a", b"x", content_type, metadata)
    with pytest.raises(InvalidRequest):
        objects.upload(f"{place}/a", content_type, metadata)


async def test_links_expire_and_say_when(objects: ObjectStore, place: str) -> None:
    before = datetime.now(UTC)
    link = await objects.presign(f"{place}/a", Method.GET, 600)

    assert link.method is Method.GET
    assert timedelta(seconds=598) <= link.expires_at - before <= timedelta(seconds=602)
    assert dict(link.headers) == {}


@pytest.mark.parametrize("seconds", [0, -1, 12 * 3600 + 1])
async def test_no_link_lives_for_ever(objects: ObjectStore, place: str, seconds: int) -> None:
    with pytest.raises(InvalidRequest):
        await objects.presign(f"{place}/a", Method.GET, seconds)


async def test_a_link_for_an_upload_says_what_has_to_be_sent(objects: ObjectStore, place: str) -> None:
    link = await objects.presign(f"{place}/a", Method.PUT, 60, owner=owner_mark("ana"), terms=Terms("audio/webm", 5))

    assert link.method is Method.PUT
    assert link.headers["Content-Type"] == "audio/webm"


async def test_an_upload_needs_terms_and_a_download_has_none(objects: ObjectStore, place: str) -> None:
    with pytest.raises(InvalidRequest):
        await objects.presign(f"{place}/a", Method.PUT, 60)
    with pytest.raises(InvalidRequest):
        await objects.presign(f"{place}/a", Method.GET, 60, terms=Terms("audio/webm", 5))


async def test_the_store_says_that_it_is_there(objects: ObjectStore) -> None:
    await objects.ping()
