"""Recordings over plain HTTP: each their own, by links that expire and do what they were made for."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from aiohttp import ClientSession

from api.app import build_app
from api.recording_content import CONTENT_OPERATIONS, SHELF, RecordingShelf
from api.recordings import MAX_UPLOAD_BYTES, OPERATIONS
from storage.errors import StorageUnavailable
from storage.object_folder import FolderStore
from storage.object_links import LinkSigner, Ticket
from storage.objects import Method, owner_mark
from storage.recordings import Recording, RecordingFormat, Recordings, RecordingState
from tests.api.people import NamedPeople, ask
from tests.api.raw import serving
from transports.origins import OriginPolicy

SOUND = bytes(range(256)) * 4_000
"""A megabyte: more than one piece."""


@dataclass
class Rig:
    port: int
    recordings: Recordings
    store: FolderStore
    signer: LinkSigner
    now: float

    def seconds(self) -> float:
        return self.now

    async def ask(self, method: str, path: str, who: str = "ana", **more: Any) -> tuple[int, Any]:
        return await ask(self.port, method, path, who, **more)

    async def fetch(self, method: str, url: str, **more: Any) -> tuple[int, bytes, dict[str, str]]:
        async with ClientSession() as client, client.request(method, f"http://127.0.0.1:{self.port}{url}", **more) as told:
            return told.status, await told.read(), dict(told.headers)

    async def record(self, session_id: str = "s1", user: str = "ana", **more: Any) -> Recording:
        known = Recording(
            session_id=session_id,
            user_id=user,
            assistant="carlos",
            language="es",
            voice_id="carlos",
            model_id="amazon.nova-2-sonic-v1:0",
            began_at=datetime(2030, 1, 16, 15, tzinfo=UTC),
            format=RecordingFormat.WEBM,
            hertz=24_000,
            state=RecordingState.COMPLETE,
        )
        made = replace(known, **more)
        await self.recordings.write(made)
        upload = self.recordings.upload(made)
        await upload.part(SOUND)
        await upload.complete()
        return made

    async def link(self, session_id: str = "s1", who: str = "ana") -> str:
        _, told = await self.ask("GET", f"/recordings/{session_id}", who)
        return str(told["data"]["recordings"][0]["link"]["url"])


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    signer, now = LinkSigner([bytes(32)]), 1_900_000_000.0
    made: list[Rig] = []
    store = FolderStore(tmp_path / "objects", signer, "/recordings/content", clock=lambda: made[0].now)
    shelf = RecordingShelf(Recordings(store), signer, lambda: made[0].now)
    app = build_app(
        [OPERATIONS, CONTENT_OPERATIONS],
        authenticator=NamedPeople(),
        origins=OriginPolicy((), "0.0.0.0"),
        parts={SHELF: shelf},
        stage="demo",
    )
    async with serving(app) as port:
        made.append(Rig(port, shelf.recordings, store, signer, now))
        yield made[0]
    await store.aclose()


async def test_the_owner_is_told_everything_and_given_a_link_that_works_without_a_token(rig: Rig) -> None:
    await rig.record()
    status, told = await rig.ask("GET", "/recordings/s1")
    recording = told["data"]["recordings"][0]
    fetched = await rig.fetch("GET", recording["link"]["url"])

    assert status == 200
    assert (recording["sessionId"], recording["userId"], recording["state"], recording["sampleRate"]) == ("s1", "ana", "complete", 24_000)
    assert recording["link"]["expiresAt"] == "2030-03-17T18:01:40.000Z"
    assert fetched[:2] == (200, SOUND)
    assert {name: fetched[2][name] for name in ("Content-Type", "X-Content-Type-Options", "Accept-Ranges", "Cache-Control")} == {
        "Content-Type": "audio/webm",
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
    }


@pytest.mark.req("S0-15", "S0-54")
@pytest.mark.parametrize(("method", "path"), [("GET", "/recordings/s1"), ("DELETE", "/recordings/s1"), ("GET", "/recordings/none")])
async def test_what_is_somebody_elses_is_answered_like_what_does_not_exist(rig: Rig, method: str, path: str) -> None:
    await rig.record()
    status, told = await rig.ask(method, path, "eva")
    missing, as_missing = await rig.ask(method, "/recordings/none", "eva")

    assert (status, told["error"]["code"]) == (missing, as_missing["error"]["code"]) == (404, "not_found")
    assert (await rig.ask("GET", "/recordings?session_id=s1", "eva"))[1]["data"] == []
    assert (await rig.ask("GET", "/recordings/s1"))[0] == 200


async def test_operators_reach_all_and_nobody_without_a_token_anything(rig: Rig) -> None:
    await rig.record()
    listed = await rig.ask("GET", "/recordings?session_id=s1", "op")
    stranger = await rig.ask("GET", "/recordings/s1", "")

    assert [one["sessionId"] for one in listed[1]["data"]] == ["s1"]
    assert stranger[0] == 401


async def test_while_it_is_recorded_there_is_no_link_and_nothing_is_removed(rig: Rig) -> None:
    await rig.record(state=RecordingState.RUNNING)
    _, told = await rig.ask("GET", "/recordings/s1")
    status, refused = await rig.ask("DELETE", "/recordings/s1")

    assert told["data"]["recordings"][0]["link"] is None
    assert (status, refused["error"]["code"]) == (409, "not_changeable")


async def test_what_is_removed_is_gone_with_its_links(rig: Rig) -> None:
    await rig.record()
    url = await rig.link()
    status, _ = await rig.ask("DELETE", "/recordings/s1")
    fetched = await rig.fetch("GET", url)

    assert status == 200
    assert fetched[0] == 404
    assert (await rig.ask("GET", "/recordings/s1"))[0] == 404
    assert (await rig.store.list("")).objects == ()


@pytest.mark.parametrize(
    ("wanted", "status", "first", "last"),
    [
        ("bytes=0-0", 206, 0, 0),
        ("bytes=5-9", 206, 5, 9),
        ("bytes=300000-900000", 206, 300_000, 900_000),
        ("bytes=1023990-", 206, 1_023_990, 1_023_999),
        ("bytes=-10", 206, 1_023_990, 1_023_999),
        ("bytes=0-99999999", 206, 0, 1_023_999),
        ("bytes=9-5", 200, 0, 1_023_999),
        ("bytes=-", 200, 0, 1_023_999),
        ("bytes=0-1,5-6", 200, 0, 1_023_999),
        ("seconds=0-1", 200, 0, 1_023_999),
    ],
)
async def test_a_player_can_ask_for_a_part(rig: Rig, wanted: str, status: int, first: int, last: int) -> None:
    await rig.record()
    fetched = await rig.fetch("GET", await rig.link(), headers={"Range": wanted})

    assert fetched[:2] == (status, SOUND[first : last + 1])
    assert fetched[2].get("Content-Range") == (f"bytes {first}-{last}/1024000" if status == 206 else None)


@pytest.mark.parametrize("wanted", ["bytes=1024000-", "bytes=-0"])
async def test_a_part_behind_the_end_is_refused(rig: Rig, wanted: str) -> None:
    await rig.record()

    assert (await rig.fetch("GET", await rig.link(), headers={"Range": wanted}))[0] == 416


async def test_a_head_request_tells_the_size_alone(rig: Rig) -> None:
    await rig.record()
    fetched = await rig.fetch("HEAD", await rig.link())

    assert (fetched[0], fetched[1], fetched[2]["Content-Length"]) == (200, b"", str(len(SOUND)))


@pytest.mark.req("S0-15")
@pytest.mark.parametrize("changed", ["key", "owner", "expires", "signature"])
async def test_a_link_that_was_changed_does_not_work(rig: Rig, changed: str) -> None:
    await rig.record()
    other = await rig.record("s2", "eva")
    parts = {name: values[0] for name, values in parse_qs(urlsplit(await rig.link()).query).items()}
    made_up = {"key": other.key, "owner": owner_mark("eva"), "expires": "1999999999", "signature": "A" * 43}
    status, body, _ = await rig.fetch("GET", "/recordings/content?" + urlencode(parts | {changed: made_up[changed]}))

    assert status == 403
    assert b"link_refused" in body


@pytest.mark.req("S0-15")
async def test_a_link_works_until_it_expires(rig: Rig) -> None:
    await rig.record()
    url = await rig.link()
    rig.now += 899
    before = await rig.fetch("GET", url)
    rig.now += 1
    after = await rig.fetch("GET", url)

    assert (before[0], after[0]) == (200, 403)


async def test_a_link_to_read_does_not_write_nor_the_other_way_round(rig: Rig) -> None:
    await rig.record()
    url = await rig.link()
    _, told = await rig.ask("POST", "/recordings/uploads", json={"contentType": "audio/webm", "sizeBytes": 5})

    assert (await rig.fetch("PUT", url, data=b"sound", headers={"Content-Type": "audio/webm"}))[0] == 403
    assert (await rig.fetch("GET", told["data"]["url"]))[0] == 403


async def test_a_link_leads_to_nothing_of_somebody_who_took_the_place(rig: Rig) -> None:
    made = await rig.record()
    url = await rig.link()
    await rig.store.put(made.key, b"of eva", "audio/webm", {"owner": owner_mark("eva")})

    assert (await rig.fetch("GET", url))[0] == 404


@pytest.mark.parametrize("key", ["../../etc/passwd", "voice-sessions/../x", "", "a" * 600])
async def test_a_signature_of_ours_under_a_path_is_refused_all_the_same(rig: Rig, key: str) -> None:
    query = rig.signer.sign(Ticket(Method.GET, key, "", int(rig.now) + 60))

    assert (await rig.fetch("GET", f"/recordings/content?{query}"))[0] in (400, 403)


@pytest.mark.req("S0-15")
async def test_a_file_is_sent_by_a_link_and_belongs_to_who_asked_for_it(rig: Rig) -> None:
    status, told = await rig.ask("POST", "/recordings/uploads", json={"contentType": "audio/webm", "sizeBytes": len(SOUND)})
    link = told["data"]
    sent = await rig.fetch(link["method"], link["url"], data=SOUND, headers=link["headers"])
    info = await rig.store.head(link["key"])

    assert (status, sent[0]) == (200, 204)
    assert info is not None
    assert (info.size, info.content_type, info.metadata) == (len(SOUND), "audio/webm", {"owner": owner_mark("ana")})
    assert link["key"].startswith(f"uploads/{owner_mark('ana')}/")
    assert await rig.store.get(link["key"]) == SOUND


async def test_a_link_takes_one_file(rig: Rig) -> None:
    _, told = await rig.ask("POST", "/recordings/uploads", json={"contentType": "audio/wav", "sizeBytes": 5})
    link = told["data"]
    first = await rig.fetch("PUT", link["url"], data=b"first", headers=link["headers"])
    again = await rig.fetch("PUT", link["url"], data=b"again", headers=link["headers"])

    assert (first[0], again[0]) == (204, 409)
    assert await rig.store.get(link["key"]) == b"first"


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        (b"longer than five", "audio/wav", 413),
        (b"x", "audio/wav", 413),
        (chunks(b"long", b"er than five"), "audio/wav", 413),
        (chunks(b"x"), "audio/wav", 400),
        (b"sound", "text/html", 415),
    ],
)
async def test_a_file_that_is_not_what_the_link_is_for_leaves_nothing(rig: Rig, data: Any, content_type: str, status: int) -> None:
    _, told = await rig.ask("POST", "/recordings/uploads", json={"contentType": "audio/wav", "sizeBytes": 5})
    sent = await rig.fetch("PUT", told["data"]["url"], data=data, headers={"Content-Type": content_type})

    assert sent[0] == status
    assert (await rig.store.list("")).objects == ()
    assert not [path for path in (rig.store._unfinished).rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "body",
    [
        {"contentType": "text/html", "sizeBytes": 5},
        {"contentType": "audio/wav", "sizeBytes": 0},
        {"contentType": "audio/wav", "sizeBytes": MAX_UPLOAD_BYTES + 1},
        {"contentType": "audio/wav"},
        {"sizeBytes": 5},
        {"contentType": "audio/wav", "sizeBytes": 5, "key": "voice-sessions/s1/audio.wav"},
    ],
)
async def test_what_may_be_sent_has_limits(rig: Rig, body: dict[str, Any]) -> None:
    assert (await rig.ask("POST", "/recordings/uploads", json=body))[0] == 400


async def test_a_store_that_is_away_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StorageUnavailable("the disk of s1 is gone")

    monkeypatch.setattr(rig.store, "list", away)
    status, told = await rig.ask("GET", "/recordings/s1")

    assert (status, told["error"]["code"]) == (503, "storage_unavailable")
    assert "disk" not in str(told)


class Endless:
    """An upload that never gets on, and whose removal does not either."""

    def __init__(self) -> None:
        self.at: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue()

    async def part(self, _: bytes) -> None:
        await self.abort()

    async def abort(self) -> None:
        self.at.put_nowait(asyncio.current_task())
        await asyncio.Event().wait()


async def test_nothing_works_on_for_a_request_that_was_cut_off(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = Endless()
    _, told = await rig.ask("POST", "/recordings/uploads", json={"contentType": "audio/wav", "sizeBytes": 5})
    monkeypatch.setattr(rig.store, "upload", lambda *_: upload)
    sending = asyncio.create_task(rig.fetch("PUT", told["data"]["url"], data=b"sound", headers={"Content-Type": "audio/wav"}))
    receiving = await upload.at.get()
    assert receiving is not None
    receiving.cancel()
    removing = await upload.at.get()
    assert removing is not None
    receiving.cancel()
    await asyncio.wait({receiving}, timeout=10)
    is_left = not removing.done()
    for task in (sending, removing):
        task.cancel()
    await asyncio.wait({sending, removing})

    assert not is_left
