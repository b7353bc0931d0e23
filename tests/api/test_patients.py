"""Patients over plain HTTP: what operators can do, and that nobody else can do anything."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientSession

from api.app import build_app
from api.patient_parts import PATIENT_BOOK
from api.patients import OPERATIONS
from storage.examples import write_example_patients
from storage.patient_models import Patient
from storage.patient_parts import MOST_PARTS
from storage.patients import PatientBook, PatientTables
from storage.sqlite import SqliteDatabase
from tests.api.desk import JUAN, OPERATOR, NamedTokens
from tests.api.raw import serving
from tests.storage.databases import StandingClock
from transports.origins import OriginPolicy

SARAH = {"name": "Sarah", "relation": "daughter", "about": "She sings."}
BREAKFAST = {"part": "morning", "what": "breakfast", "at": "08:00"}
CALL = {"what": "call Sarah", "dueAt": "2030-01-20T10:00:00.000Z"}
NEW = {"relatives": SARAH, "routine": BREAKFAST, "reminders": CALL}
CHANGES = {"relatives": {"about": ""}, "routine": {"at": None}, "reminders": {"doneAt": "2030-01-20T11:00:00.000Z"}}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: Any
    tag: str

    @property
    def data(self) -> Any:
        """What was asked for."""
        return self.body["data"]

    @property
    def code(self) -> str:
        """Why it was refused."""
        return str(self.body["error"]["code"])


@dataclass(frozen=True, slots=True)
class Office:
    """Somebody who asks."""

    port: int
    book: PatientBook

    async def ask(self, method: str, path: str, json: object = None, *, by: str = OPERATOR, **headers: str) -> Answer:
        """Ask."""
        own = {"Authorization": f"Bearer {by}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with (
            ClientSession() as http,
            http.request(method, f"http://127.0.0.1:{self.port}/patients{path}", json=json, headers=own) as response,
        ):
            return Answer(response.status, await response.json(), response.headers.get("ETag", ""))


@pytest.fixture
async def office(database: SqliteDatabase, clock: StandingClock) -> AsyncIterator[Office]:
    """Serve the example patients."""
    tables = PatientTables()
    for definition in tables.all():
        await database.table(definition).create()
    book = PatientBook(database, tables, clock)
    async for _ in write_example_patients(book, now=clock()):
        pass
    app = build_app(
        [OPERATIONS], authenticator=NamedTokens(), origins=OriginPolicy((), "0.0.0.0"), stage="demo", parts={PATIENT_BOOK: book}
    )
    async with serving(app) as port:
        yield Office(port, book)


@pytest.mark.req("S3-16")
async def test_a_patient_is_written_listed_changed_and_removed(office: Office, clock: StandingClock) -> None:
    wanted = {"id": "pt-1", "name": "  Ana   Ruiz ", "about": "She is 80.", "timeZone": "Europe/Madrid", "userIds": ["eva", "eva"]}
    created = await office.ask("POST", "", wanted)
    twice = await office.ask("POST", "", wanted)
    clock.advance(seconds=1)
    changed = await office.ask("PATCH", "/pt-1", {"name": "Ana"}, If_Match=created.tag)
    late = await office.ask("PATCH", "/pt-1", {"name": "Eva"}, If_Match=created.tag)
    listed = await office.ask("GET", "?limit=2")
    rest = await office.ask("GET", f"?limit=2&cursor={listed.body['nextCursor']}")
    deleted = await office.ask("DELETE", "/pt-1")
    gone = await office.ask("GET", "/pt-1")

    assert (created.status, created.data["name"], created.data["userIds"]) == (201, "Ana Ruiz", ["eva"])
    assert (twice.status, twice.code) == (409, "conflict")
    assert changed.data == {**created.data, "name": "Ana", "updatedAt": changed.data["updatedAt"]}
    assert (late.status, late.code) == (412, "changed_since")
    assert [one["id"] for one in (*listed.data, *rest.data)] == ["pt-001", "pt-002", "pt-1"]
    assert "nextCursor" not in rest.body
    assert deleted.data == {"id": "pt-1"}
    assert (gone.status, gone.code) == (404, "not_found")


@pytest.mark.req("S3-16")
async def test_a_patient_who_is_changed_right_before_the_removal_stays(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    remove = office.book.remove

    async def change_before(patient_id: str, expected: Patient | None = None) -> bool:
        monkeypatch.undo()
        assert (await office.ask("PATCH", f"/{patient_id}", {"name": "Johnny"})).status == 200
        return await remove(patient_id, expected)

    known = await office.ask("GET", "/pt-001")
    monkeypatch.setattr(office.book, "remove", change_before)
    refused = await office.ask("DELETE", "/pt-001", If_Match=known.tag)
    left = await office.ask("GET", "/pt-001")
    relatives = await office.ask("GET", "/pt-001/relatives")
    monkeypatch.setattr(office.book, "remove", change_before)
    whatever_it_is = await office.ask("DELETE", "/pt-001")

    assert (refused.status, refused.code) == (412, "changed_since")
    assert left.data["name"] == "Johnny"
    assert relatives.data
    assert whatever_it_is.status == 200


@pytest.mark.req("S3-16")
@pytest.mark.parametrize("path", list(NEW))
async def test_what_belongs_to_a_patient_is_written_once_changed_and_removed(office: Office, path: str, clock: StandingClock) -> None:
    before = await office.ask("GET", f"/pt-001/{path}")
    created = await office.ask("POST", f"/pt-001/{path}", NEW[path], Idempotency_Key="only-once")
    again = await office.ask("POST", f"/pt-001/{path}", NEW[path], Idempotency_Key="only-once")
    other = await office.ask(
        "POST", f"/pt-001/{path}", {**NEW[path], "what" if "what" in NEW[path] else "name": "Else"}, Idempotency_Key="only-once"
    )
    own = f"/pt-001/{path}/{created.data['id']}"
    elsewhere = await office.ask("PATCH", f"/pt-002/{path}/{created.data['id']}", CHANGES[path])
    clock.advance(seconds=1)
    changed = await office.ask("PATCH", own, CHANGES[path], If_Match=created.tag)
    late = await office.ask("DELETE", own, If_Match=created.tag)
    deleted = await office.ask("DELETE", own, If_Match=changed.tag)
    after = await office.ask("GET", f"/pt-001/{path}")

    assert created.status == 201
    assert created.data.items() >= NEW[path].items()
    assert again.data == created.data
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    assert (elsewhere.status, elsewhere.code) == (404, "not_found")
    assert changed.data != created.data
    assert late.code == "changed_since"
    assert deleted.data == {"id": created.data["id"]}
    assert after.data == before.data


@pytest.mark.req("S3-16")
async def test_a_reminder_that_is_done_is_in_the_list_no_more_and_can_be_opened_again(office: Office) -> None:
    (known,) = (await office.ask("GET", "/pt-001/reminders")).data
    done = await office.ask("PATCH", f"/pt-001/reminders/{known['id']}", {"doneAt": "2030-01-20T11:00:00Z"})
    without = await office.ask("GET", "/pt-001/reminders")
    opened = await office.ask("PATCH", f"/pt-001/reminders/{known['id']}", {"doneAt": None})
    again = await office.ask("GET", "/pt-001/reminders")

    assert done.data["doneAt"] == "2030-01-20T11:00:00.000Z"
    assert without.data == []
    assert opened.data["doneAt"] is None
    assert [one["id"] for one in again.data] == [known["id"]]


@pytest.mark.req("S3-16")
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name or operation.handler.__name__)
async def test_patients_are_an_operators_alone(office: Office, operation: Any) -> None:
    path = operation.path.removeprefix("/patients").replace("{id}", "pt-001").replace("{partId}", "1")
    bodies = {"POST": {"id": "pt-9", "name": "Mallory"}, "PATCH": {"name": "Mallory"}}
    refused = await office.ask(operation.method, path, bodies.get(operation.method), by=JUAN)

    assert (refused.status, refused.code) == (403, "forbidden")
    assert "John" not in str(refused.body)


@pytest.mark.parametrize(
    ("method", "path", "body", "refusal"),
    [
        ("POST", "", {"id": "pt-1", "name": "Ana", "timeZone": "Mars/Base"}, (422, "rule_broken")),
        ("POST", "", {"id": "pt-1", "name": "Ana", "timeZone": "../../etc/passwd"}, (400, "invalid_body")),
        ("POST", "", {"id": "pt 1", "name": "Ana"}, (400, "invalid_body")),
        ("POST", "", {"id": "pt-1", "name": "..."}, (422, "rule_broken")),
        ("POST", "", {"id": "pt-1", "name": "Ana", "dni": "1"}, (400, "unknown_member")),
        ("POST", "/pt-404/relatives", SARAH, (404, "not_found")),
        ("GET", "/pt-404/routine", None, (404, "not_found")),
        ("POST", "/pt-001/routine", {**BREAKFAST, "at": "25:00"}, (400, "invalid_body")),
        ("POST", "/pt-001/routine", {**BREAKFAST, "part": "noon"}, (400, "invalid_body")),
        ("POST", "/pt-001/reminders", {**CALL, "dueAt": "9999-12-31T23:59:59Z"}, (422, "rule_broken")),
        ("PATCH", "/pt-001/reminders/1", {"doneAt": "0001-01-01T00:00:00Z"}, (422, "rule_broken")),
        ("PATCH", "/pt-001/relatives/sarah", {}, (400, "invalid_body")),
    ],
)
async def test_what_cannot_be_is_refused(office: Office, method: str, path: str, body: object, refusal: tuple[int, str]) -> None:
    refused = await office.ask(method, path, body)

    assert (refused.status, refused.code) == refusal


async def test_there_is_an_end_to_what_one_patient_can_have(office: Office) -> None:
    (known, *_) = await office.book.routine.of_patient("pt-002")
    for number in range(MOST_PARTS):
        await office.book.routine.add(type(known)("pt-002", f"n{number}", known.part, "rest", known.updated_at))
    refused = await office.ask("POST", "/pt-002/routine", BREAKFAST)

    assert (refused.status, refused.code) == (422, "rule_broken")
