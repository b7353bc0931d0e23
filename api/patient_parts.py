"""/patients/{id}/...: what belongs to a patient, each kind as a resource of its own; for operators alone."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from aiohttp import web

from api.answers import answer
from api.errors import KeyReused, NotFound, RuleBroken
from api.idempotency import IDEMPOTENCY_KEY, request_id
from api.kinds import person_name
from api.operations import Access, Operation, Shape, Success
from api.order_shapes import DELETED
from api.patient_shapes import (
    AT,
    DAY_PART,
    DONE_AT,
    DUE_AT,
    NEW_RELATIVE,
    NEW_REMINDER,
    NEW_STEP,
    PART_ID,
    PATIENT_ID,
    RELATION,
    RELATIVE,
    RELATIVE_ABOUT,
    RELATIVE_CHANGES,
    RELATIVE_NAME,
    REMINDER,
    REMINDER_CHANGES,
    STEP,
    STEP_CHANGES,
    WHAT,
)
from api.requests import GIVEN
from api.schema import ListOf, Record, Values
from api.versions import CHANGE_REFUSALS, IF_MATCH, etag, unless_changed
from storage.models import Json
from storage.patient_models import PatientPart, Relative, Reminder, RoutineStep, relative_json, reminder_json, step_json
from storage.patient_parts import MOST_PARTS, PatientParts, part_id
from storage.patients import PatientBook

PATIENT_BOOK: Final = web.AppKey("patient_book", PatientBook)
YEARS: Final = (1970, 2200)
"""Of what a reminder can be for."""


@dataclass(frozen=True, slots=True)
class Part[T: PatientPart]:
    """One kind of what belongs to a patient, as a resource."""

    name: str
    path: str
    parts: Callable[[PatientBook], PatientParts[T]]
    listed: Callable[[PatientBook, str], Awaitable[tuple[T, ...]]]
    """Those of a patient that a list has."""
    make: Callable[[str, str, Values, datetime], T]
    """Of the patient's id, its own, what was sent, and the time."""
    changed: Callable[[T, Values, datetime], T]
    told: Callable[[T], dict[str, Json]]
    shapes: tuple[Record, Record, Record]
    """Of a new one, of changes, and of what is told."""


class PartResource[T: PatientPart]:
    """Answers what is asked of one kind.

    Args:
        part: the kind.
    """

    def __init__(self, part: Part[T]) -> None:
        self._part = part

    async def list(self, request: web.Request) -> web.Response:
        """Tell what there is of a patient."""
        book, patient_id = request.app[PATIENT_BOOK], request[GIVEN].path[PATIENT_ID]
        await self._require_patient(book, patient_id)
        found = await self._part.listed(book, patient_id)
        return answer([self._part.told(one) for one in found], f"Retrieved {len(found)} {self._part.name}s of {patient_id} successfully")

    async def create(self, request: web.Request) -> web.Response:
        """Write another one."""
        book, given = request.app[PATIENT_BOOK], request[GIVEN]
        patient_id, own_id = given.path[PATIENT_ID], part_id(request_id(request))
        await self._require_patient(book, patient_id)
        if len(await self._part.listed(book, patient_id)) >= MOST_PARTS:
            raise RuleBroken(f"There are {MOST_PARTS} already: nobody can be told more.")
        wanted = self._part.make(patient_id, own_id, given.body, book.now())
        written = await book.add_part(self._part.parts(book), wanted)
        if written is None:
            raise _no_patient(patient_id)
        if self._part.told(written) | {"updatedAt": None} != self._part.told(wanted) | {"updatedAt": None}:
            raise KeyReused
        headers = {"ETag": etag(written.updated_at), "Location": f"{request.path}/{written.id}"}
        return answer(self._part.told(written), f"Created {self._part.name} {written.id} successfully", status=201, headers=headers)

    async def change(self, request: web.Request) -> web.Response:
        """Change one, if it is as the client knows it."""
        book = request.app[PATIENT_BOOK]

        async def change(before: T) -> T | None:
            after = self._part.changed(before, request[GIVEN].body, book.next_instant(before.updated_at))
            return after if await self._part.parts(book).change(after, before) else None

        after = await unless_changed(request, self._find, change)
        headers = {"ETag": etag(after.updated_at)}
        return answer(self._part.told(after), f"Updated {self._part.name} {after.id} successfully", headers=headers)

    async def delete(self, request: web.Request) -> web.Response:
        """Remove one, if it is as the client knows it."""
        await unless_changed(request, self._find, self._part.parts(request.app[PATIENT_BOOK]).remove)
        own_id = request[GIVEN].path[PART_ID]
        return answer({"id": own_id}, f"Deleted {self._part.name} {own_id} successfully")

    def operations(self) -> tuple[Operation, ...]:
        """Return what can be asked."""
        part, (new, changes, told) = self._part, self._part.shapes
        path, own_path = f"/patients/{{id}}/{part.path}", f"/patients/{{id}}/{part.path}/{{partId}}"
        plural, single = part.path.replace("-", "_"), part.name.replace(" ", "_")
        return (
            Operation(
                method="GET",
                path=path,
                handler=self.list,
                name=f"list_{plural}",
                summary=f"The {part.path} of a patient",
                access=Access.OPERATOR,
                parts=(PATIENT_ID,),
                success=Success(description=f"What there is, {MOST_PARTS} at most", data=ListOf(told), shape=Shape.PAGE),
                refusals={404: "There is no such patient"},
            ),
            Operation(
                method="POST",
                path=path,
                handler=self.create,
                name=f"create_{single}",
                summary=f"Write a {part.name} of a patient",
                access=Access.OPERATOR,
                parts=(PATIENT_ID,),
                headers=(IDEMPOTENCY_KEY,),
                body=new,
                success=Success(status=201, description=f"The {part.name}", data=told, is_versioned=True),
                refusals={404: "There is no such patient", 422: "There are too many, or the Idempotency-Key belongs to another one"},
            ),
            Operation(
                method="PATCH",
                path=own_path,
                handler=self.change,
                name=f"change_{single}",
                summary=f"Change a {part.name} of a patient",
                access=Access.OPERATOR,
                parts=(PATIENT_ID, PART_ID),
                headers=(IF_MATCH,),
                body=changes,
                success=Success(description=f"The {part.name} as it is now", data=told, is_versioned=True),
                refusals=CHANGE_REFUSALS,
            ),
            Operation(
                method="DELETE",
                path=own_path,
                handler=self.delete,
                name=f"delete_{single}",
                summary=f"Remove a {part.name} of a patient",
                access=Access.OPERATOR,
                parts=(PATIENT_ID, PART_ID),
                headers=(IF_MATCH,),
                success=Success(description=f"The {part.name} is gone", data=DELETED),
                refusals=CHANGE_REFUSALS,
            ),
        )

    async def _find(self, request: web.Request) -> T:
        path = request[GIVEN].path
        found = await self._part.parts(request.app[PATIENT_BOOK]).get(path[PATIENT_ID], path[PART_ID])
        if found is None:
            raise NotFound(f"There is no {self._part.name} {path[PART_ID]} of patient {path[PATIENT_ID]}.")
        return found

    async def _require_patient(self, book: PatientBook, patient_id: str) -> None:
        if await book.get(patient_id) is None:
            raise _no_patient(patient_id)


def _no_patient(patient_id: str) -> NotFound:
    return NotFound(f"There is no patient {patient_id}.")


def _new_relative(patient_id: str, own_id: str, body: Values, now: datetime) -> Relative:
    return Relative(patient_id, own_id, person_name(body[RELATIVE_NAME]), body[RELATION], now, body.get(RELATIVE_ABOUT) or "")


def _changed_relative(before: Relative, body: Values, now: datetime) -> Relative:
    name = person_name(body[RELATIVE_NAME]) if RELATIVE_NAME in body else before.name
    about = body.get(RELATIVE_ABOUT)
    about = before.about if about is None else about
    return replace(before, name=name, relation=body.get(RELATION) or before.relation, about=about, updated_at=now)


def _new_step(patient_id: str, own_id: str, body: Values, now: datetime) -> RoutineStep:
    return RoutineStep(patient_id, own_id, body[DAY_PART], body[WHAT], now, (body[AT] or "") if AT in body else "")


def _changed_step(before: RoutineStep, body: Values, now: datetime) -> RoutineStep:
    at = (body[AT] or "") if AT in body else before.at
    return replace(before, part=body.get(DAY_PART) or before.part, what=body.get(WHAT) or before.what, at=at, updated_at=now)


def _new_reminder(patient_id: str, own_id: str, body: Values, now: datetime) -> Reminder:
    return Reminder(patient_id, own_id, body[WHAT], _in_a_life(body[DUE_AT]), now)


def _changed_reminder(before: Reminder, body: Values, now: datetime) -> Reminder:
    due_at = _in_a_life(body[DUE_AT]) if DUE_AT in body else before.due_at
    after = replace(before, what=body.get(WHAT) or before.what, due_at=due_at, updated_at=now)
    if DONE_AT in body:
        done_at = body[DONE_AT]
        after = replace(after, done_at=None if done_at is None else _in_a_life(done_at))
    return after


def _in_a_life(instant: datetime) -> datetime:
    """Return a time that can be told in every zone, and be counted on from."""
    if not YEARS[0] <= instant.year <= YEARS[1]:
        raise RuleBroken(f"The time has to be in a year from {YEARS[0]} to {YEARS[1]}.")
    return instant


OPERATIONS: Final = (
    *PartResource(
        Part(
            "relative",
            "relatives",
            lambda book: book.relatives,
            lambda book, patient_id: book.relatives.of_patient(patient_id),
            _new_relative,
            _changed_relative,
            relative_json,
            (NEW_RELATIVE, RELATIVE_CHANGES, RELATIVE),
        )
    ).operations(),
    *PartResource(
        Part(
            "routine step",
            "routine",
            lambda book: book.routine,
            lambda book, patient_id: book.day(patient_id),
            _new_step,
            _changed_step,
            step_json,
            (NEW_STEP, STEP_CHANGES, STEP),
        )
    ).operations(),
    *PartResource(
        Part(
            "reminder",
            "reminders",
            lambda book: book.reminders,
            lambda book, patient_id: book.reminders.due(patient_id),
            _new_reminder,
            _changed_reminder,
            reminder_json,
            (NEW_REMINDER, REMINDER_CHANGES, REMINDER),
        )
    ).operations(),
)
