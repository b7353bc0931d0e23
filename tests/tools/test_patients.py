"""The companion's tools on a database in memory, with the example patients."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import orjson
import pytest

from publishing.events import Alert, Severity
from storage.appointments import Appointments
from storage.errors import StorageUnavailable
from storage.examples import write_example_patients
from storage.orders import Orders
from storage.patient_models import DayPart, Patient, Relative, day_part_at
from storage.patients import PatientBook, PatientTables
from storage.sqlite import SqliteDatabase
from tests.storage.databases import NOW, ZONE, StandingClock, repositories
from tools.catalogue import TOOLS, build_tools
from tools.companion import Companion
from tools.executor import ToolExecutor
from tools.patients import MAX_OPEN_REMINDERS, find_relatives, parse_part

OWN_TOOLS = ("whoIs", "getRoutine", "listReminders", "addReminder", "completeReminder", "alertCaregivers")


@dataclass
class Bell:
    """Whom an alert reaches."""

    rung: list[Alert] = field(default_factory=list)

    def send(self, alert: Alert) -> None:
        self.rung.append(alert)


@dataclass
class Home:
    """What a test holds in its hands; it is Wednesday, 15:00 UTC."""

    executor: ToolExecutor
    book: PatientBook
    bell: Bell
    clock: StandingClock
    ids: Any = field(default_factory=lambda: count(1))

    async def call(
        self, name: str, /, patient: str = "pt-001", session: str = "s1", use: str | None = None, **arguments: object
    ) -> dict[str, Any]:
        """Run a tool in a session with a patient."""
        outcome = await self.executor.run(
            session_id=session,
            tool_use_id=use or f"t{next(self.ids)}",
            name=name,
            arguments=orjson.dumps(arguments).decode(),
            patient_id=patient,
        )
        result: dict[str, Any] = orjson.loads(outcome.content)
        assert outcome.error_code == result.get("error")
        return result


def tools_on(companion: Companion, shop: tuple[Orders, Appointments], clock: StandingClock) -> ToolExecutor:
    return build_tools(*shop, salt=None, zone=ZONE, clock=clock, companion=companion)


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    clock = StandingClock()
    database = SqliteDatabase(":memory:", clock=clock.seconds)
    tables = PatientTables()
    for definition in tables.all():
        await database.table(definition).create()
    book, bell = PatientBook(database, tables, clock), Bell()
    async for _ in write_example_patients(book, now=clock()):
        pass
    yield Home(tools_on(Companion(book, bell, clock), await repositories(database, clock), clock), book, bell, clock)
    await database.aclose()


@pytest.mark.req("S3-16")
@pytest.mark.parametrize("said", ["Sarah", "sarah", "SÁRAH", "my daughter", "daughter", "daughter Sarah", "Who is Sarah?"])
async def test_a_relative_is_known_by_name_and_by_what_they_are(home: Home, said: str) -> None:
    answer = await home.call("whoIs", name=said)

    assert answer["success"]
    assert answer["isCertain"]
    assert answer["relative"] == {
        "name": "Sarah",
        "relation": "daughter",
        "about": "She visits every Sunday afternoon, and can be called at any time.",
    }


@pytest.mark.req("S3-16")
async def test_a_name_that_sounds_alike_is_offered_as_a_guess(home: Home) -> None:
    answer = await home.call("whoIs", name="Sara")

    assert not answer["isCertain"]
    assert answer["message"].startswith("Perhaps this is meant: Sarah, daughter.")


@pytest.mark.req("S3-16")
@pytest.mark.parametrize("said", ["Peter", "Zoe", "the"])
async def test_nobody_is_made_up(home: Home, said: str) -> None:
    answer = await home.call("whoIs", name=said)

    assert answer["error"] == "relative_unknown"
    assert "do not guess" in answer["message"]


def test_a_whole_name_counts_more_than_a_part_and_two_of_one_name_are_both_told() -> None:
    people = tuple(Relative("p", name, name, "cousin", NOW) for name in ("José Luis", "José", "Ana-María", "Ana"))

    assert [one.name for one in find_relatives(people, "jose")[0]] == ["José"]
    assert [one.name for one in find_relatives(people, "luis")[0]] == ["José Luis"]
    assert [one.name for one in find_relatives(people, "cousin")[0]] == [one.name for one in people]
    assert [one.name for one in find_relatives(people, "ana maria")[0]] == ["Ana-María"]
    assert find_relatives(people, "") == ((), False)


@pytest.mark.req("S3-16")
async def test_the_routine_of_the_morning_is_told_in_order(home: Home) -> None:
    answer = await home.call("getRoutine", part="this morning")

    assert answer["part"] == "morning"
    assert [(step["at"], step["what"]) for step in answer["steps"]] == [
        ("08:00", "breakfast, and the blue tablet with it"),
        ("09:30", "a walk in the garden"),
    ]


@pytest.mark.req("S3-16")
async def test_now_is_now_where_the_patient_lives(home: Home) -> None:
    rose = await home.book.get("pt-002")
    assert rose is not None
    await home.book.change(replace(rose, time_zone="Pacific/Auckland"), rose)
    john_now, rose_now = await home.call("getRoutine"), await home.call("getRoutine", patient="pt-002")

    assert (john_now["now"], john_now["part"]) == ("15:00", "afternoon")
    assert (rose_now["now"], rose_now["part"], rose_now["steps"]) == ("04:00", "night", [])


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ("now", "now"),
        ("this morning", "morning"),
        ("por la mañana", "morning"),
        ("at lunch", "afternoon"),
        ("tonight", "evening"),
        ("bedtime", "night"),
        ("today", "day"),
        ("gibberish", "now"),
    ],
)
def test_a_part_of_the_day_is_understood_as_it_is_said(said: str, part: str) -> None:
    assert parse_part(said) == part


def test_every_hour_lies_in_a_part_of_the_day() -> None:
    parts = [day_part_at(NOW.replace(hour=hour).time()) for hour in range(24)]

    assert parts == [DayPart.NIGHT] * 5 + [DayPart.MORNING] * 7 + [DayPart.AFTERNOON] * 5 + [DayPart.EVENING] * 5 + [DayPart.NIGHT] * 2


@pytest.mark.req("S3-16")
async def test_a_reminder_is_written_down_told_and_marked_as_done(home: Home) -> None:
    added = await home.call("addReminder", what="water the plants", time="16:30")
    listed = await home.call("listReminders")
    home.clock.advance(hours=2)
    due = await home.call("listReminders")
    done = await home.call("completeReminder", reminder="the plants")
    again = await home.call("completeReminder", reminder="plants")
    after = await home.call("listReminders")

    assert (added["reminder"]["when"], added["reminder"]["isDue"]) == ("today at 16:30", False)
    assert [one["what"] for one in listed["reminders"]] == ["water the plants", "call Sarah about Sunday"]
    assert (listed["due"], due["due"]) == (0, 1)
    assert done["success"]
    assert again["success"]
    assert [one["what"] for one in after["reminders"]] == ["call Sarah about Sunday"]


@pytest.mark.parametrize(
    ("arguments", "when"),
    [
        ({"time": "09:00"}, "tomorrow at 09:00"),
        ({"date": "tomorrow", "time": "09:00"}, "tomorrow at 09:00"),
        ({"date": "2030-01-20", "time": "09:00"}, "on Sunday, 20 January 2030 at 09:00"),
        ({"date": "2030-01-20T09:00"}, "on Sunday, 20 January 2030 at 09:00"),
    ],
)
async def test_a_time_without_a_day_is_the_next_one(home: Home, arguments: dict[str, str], when: str) -> None:
    added = await home.call("addReminder", what="call", **arguments)

    assert added["reminder"]["when"] == when


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"what": "call"}, "time_required"),
        ({"what": "call", "date": "2030-01-15", "time": "10:00"}, "date_in_past"),
        ({"what": "call", "date": "2032-01-15", "time": "10:00"}, "date_too_far"),
        ({"what": "x" * 201, "time": "10:00"}, "invalid_text"),
        ({"what": "...", "time": "10:00"}, "invalid_text"),
    ],
)
async def test_what_cannot_be_a_reminder_is_asked_for_again(home: Home, arguments: dict[str, str], error: str) -> None:
    answer = await home.call("addReminder", **arguments)

    assert answer["error"] == error
    assert len(await home.book.reminders.due("pt-001")) == 1


async def test_a_repeated_call_writes_nothing_twice(home: Home) -> None:
    first = await home.call("addReminder", use="same", what="call", time="16:00")
    home.executor.forget("s1")
    second = await home.call("addReminder", use="same", what="call", time="16:00")

    assert first == second
    assert len(await home.book.reminders.due("pt-001")) == 2


async def test_a_conversation_cannot_fill_the_store(home: Home) -> None:
    for number in range(MAX_OPEN_REMINDERS - 1):
        await home.call("addReminder", what=f"thing {number}", time="16:00")
    refused = await home.call("addReminder", what="one more", time="16:00")

    assert refused["error"] == "too_many_reminders"


async def test_which_of_several_reminders_is_meant_is_asked(home: Home) -> None:
    for what in ("take the blue tablet", "take the white tablet"):
        await home.call("addReminder", what=what, time="16:00")
    several = await home.call("completeReminder", reminder="tablet")
    chosen = await home.call("completeReminder", reminder="white tablet")
    unknown = await home.call("completeReminder", reminder="umbrella")

    assert several["error"] == "several_reminders"
    assert "take the blue tablet, today at 16:00 (id " in several["message"]
    assert chosen["reminder"] == {"what": "take the white tablet"}
    assert unknown["error"] == "reminder_unknown"


@pytest.mark.req("S3-16")
@pytest.mark.parametrize("name", OWN_TOOLS)
def test_no_tool_can_be_told_whose_records_are_meant(name: str) -> None:
    own = next(one for one in TOOLS if one.name == name)
    names = {spelling.lower().replace("_", "") for part in own.parameters for spelling in (part.name, *part.aliases)}

    assert not {word for word in names if "patient" in word or word in ("user", "userid", "to", "receiver", "recipient", "phone", "topic")}


@pytest.mark.req("S3-16")
async def test_two_patients_at_once_never_mix(home: Home) -> None:
    asked = [home.call("whoIs", patient=one, session=one, name="Sarah", patientId="pt-001") for one in ("pt-001", "pt-002") * 20]
    answers = await asyncio.gather(*asked)
    await home.call("addReminder", patient="pt-002", session="pt-002", what="buy milk", time="16:00")
    johns = await home.call("listReminders", session="pt-001")
    taken = await home.call("completeReminder", session="pt-001", reminder="buy milk")

    assert [one.get("error") for one in answers] == [None, "relative_unknown"] * 20
    assert [one["what"] for one in johns["reminders"]] == ["call Sarah about Sunday"]
    assert taken["error"] == "reminder_unknown"


@pytest.mark.req("S3-16")
@pytest.mark.parametrize("patient", ["", "pt-404"])
@pytest.mark.parametrize(
    ("name", "arguments"), [("whoIs", {"name": "Sarah", "patientId": "pt-001"}), ("getRoutine", {}), ("listReminders", {})]
)
async def test_a_session_without_a_patient_is_told_of_nobody(home: Home, patient: str, name: str, arguments: dict[str, str]) -> None:
    answer = await home.call(name, patient=patient, **arguments)

    assert answer["error"] == "no_patient"
    assert "Sarah" not in answer["message"]


async def test_without_a_book_the_tools_know_nobody(home: Home) -> None:
    database = SqliteDatabase(":memory:")
    executor = tools_on(Companion(), await repositories(database, home.clock), home.clock)
    outcomes = [
        await executor.run(session_id="s", tool_use_id=name, name=name, arguments='{"name":"Sarah","reason":"pain"}', patient_id="pt-001")
        for name in ("whoIs", "alertCaregivers")
    ]
    await database.aclose()

    assert [one.error_code for one in outcomes] == ["no_patient", "no_patient"]


@pytest.mark.req("S3-07")
async def test_the_people_who_look_after_a_patient_are_sent_for(home: Home) -> None:
    answer = await home.call(
        "alertCaregivers", use="a1", reason="He  fell in the\nkitchen", urgency="now", to="+3460000", patientId="pt-002"
    )
    (alert,) = home.bell.rung

    assert answer["sent"]
    assert (alert.code, alert.severity, alert.message) == ("patient_needs_help", Severity.CRITICAL, "John: He fell in the kitchen")
    assert (alert.session_id, alert.at, alert.details["patientId"]) == ("s1", NOW, "pt-001")
    assert "+3460000" not in str(alert)


@pytest.mark.req("S3-07")
async def test_one_call_sends_for_them_once_and_a_session_does_so_a_few_times(home: Home) -> None:
    for _ in range(3):
        await home.call("alertCaregivers", use="same", reason="pain")
    for number in range(4):
        last = await home.call("alertCaregivers", reason=f"pain {number}", urgency="soon")
    other = await home.call("alertCaregivers", session="s2", patient="pt-002", reason="pain")
    home.executor.forget("s1")
    later = await home.call("alertCaregivers", reason="pain again")

    assert last["error"] == "too_many_alerts"
    assert other["sent"]
    assert later["sent"]
    assert [alert.message for alert in home.bell.rung] == ["John: pain", "John: pain 0", "John: pain 1", "Rose: pain", "John: pain again"]
    assert home.bell.rung[1].severity is Severity.WARNING


@pytest.mark.req("S3-07")
async def test_help_is_sent_for_while_the_store_is_away(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(patient_id: str) -> Patient | None:
        raise StorageUnavailable(f"no store for {len(patient_id)} letters")

    monkeypatch.setattr(home.book, "get", away)
    answer = await home.call("alertCaregivers", reason="pain")
    refused = await home.call("whoIs", name="Sarah")

    assert answer["sent"]
    assert [alert.message for alert in home.bell.rung] == ["pt-001: pain"]
    assert refused["error"] == "storage_unavailable"
