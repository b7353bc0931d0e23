"""/patients: whom the companion talks to; for operators alone."""

from dataclasses import replace
from typing import Final
from zoneinfo import ZoneInfo

from aiohttp import web

from api.answers import answer
from api.errors import Conflict, NotFound, RuleBroken
from api.kinds import CURSOR, DEFAULT_LIMIT, LIMIT, person_name
from api.operations import Access, Operation, Shape, Success
from api.order_shapes import DELETED
from api.patient_parts import OPERATIONS as OF_PARTS
from api.patient_parts import PATIENT_BOOK
from api.patient_shapes import NEW_PATIENT, PATIENT, PATIENT_ABOUT, PATIENT_CHANGES, PATIENT_ID, PATIENT_NAME, TIME_ZONE, USER_IDS
from api.requests import GIVEN
from api.schema import ListOf, Values
from api.versions import CHANGE_REFUSALS, IF_MATCH, etag, unless_changed, versioned
from storage.patient_models import Patient, patient_json


async def list_patients(request: web.Request) -> web.Response:
    """Tell the patients in the order of their ids."""
    query = request[GIVEN].query
    found = await request.app[PATIENT_BOOK].all(limit=query.get(LIMIT) or DEFAULT_LIMIT, cursor=query.get(CURSOR))
    told = [patient_json(one) for one in found.records]
    return answer(told, f"Retrieved {len(told)} patients successfully", cursor=found.cursor)


async def get_patient(request: web.Request) -> web.Response:
    """Tell one patient."""
    patient = await _find(request)
    return versioned(request, patient.updated_at, lambda: patient_json(patient), f"Retrieved patient {patient.id} successfully")


async def create_patient(request: web.Request) -> web.Response:
    """Write a patient under the id that the client gives it."""
    book, body = request.app[PATIENT_BOOK], request[GIVEN].body
    now = book.now()
    patient = _changed(Patient(body[PATIENT_ID], "", now, now), body)
    if not await book.add(patient):
        raise Conflict("There is a patient with this id already.")
    headers = {"ETag": etag(patient.updated_at), "Location": f"{request.path}/{patient.id}"}
    return answer(patient_json(patient), f"Created patient {patient.id} successfully", status=201, headers=headers)


async def change_patient(request: web.Request) -> web.Response:
    """Change a patient, if it is as the client knows it."""

    async def change(before: Patient) -> Patient | None:
        return await request.app[PATIENT_BOOK].change(_changed(before, request[GIVEN].body), before)

    after = await unless_changed(request, _find, change)
    return answer(patient_json(after), f"Updated patient {after.id} successfully", headers={"ETag": etag(after.updated_at)})


async def delete_patient(request: web.Request) -> web.Response:
    """Remove a patient with all that belongs to it, if it is as the client knows it."""

    async def remove(before: Patient) -> bool:
        return await request.app[PATIENT_BOOK].remove(before.id, before)

    await unless_changed(request, _find, remove)
    patient_id = request[GIVEN].path[PATIENT_ID]
    return answer({"id": patient_id}, f"Deleted patient {patient_id} successfully")


async def _find(request: web.Request) -> Patient:
    patient_id = request[GIVEN].path[PATIENT_ID]
    patient = await request.app[PATIENT_BOOK].get(patient_id)
    if patient is None:
        raise NotFound(f"There is no patient {patient_id}.")
    return patient


def _changed(before: Patient, body: Values) -> Patient:
    about = body.get(PATIENT_ABOUT)
    return replace(
        before,
        name=person_name(body[PATIENT_NAME]) if PATIENT_NAME in body else before.name,
        about=before.about if about is None else about,
        time_zone=_zone(body[TIME_ZONE]) if TIME_ZONE in body else before.time_zone,
        user_ids=tuple(dict.fromkeys(body[USER_IDS])) if USER_IDS in body else before.user_ids,
    )


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (OSError, ValueError, KeyError):  # what the database raises for folders, forbidden paths and unknown names
        raise RuleBroken("There is no such time zone.") from None


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/patients",
        handler=list_patients,
        summary="All patients, in the order of their ids",
        access=Access.OPERATOR,
        query=(LIMIT, CURSOR),
        success=Success(description="A page of patients", data=ListOf(PATIENT), shape=Shape.PAGE),
    ),
    Operation(
        method="POST",
        path="/patients",
        handler=create_patient,
        summary="Write a patient",
        access=Access.OPERATOR,
        body=NEW_PATIENT,
        success=Success(status=201, description="The patient", data=PATIENT, is_versioned=True),
        refusals={409: "There is a patient with this id", 422: "There is no such time zone, or the name has no letters"},
    ),
    Operation(
        method="GET",
        path="/patients/{id}",
        handler=get_patient,
        summary="One patient",
        access=Access.OPERATOR,
        parts=(PATIENT_ID,),
        success=Success(description="The patient", data=PATIENT, is_versioned=True),
        refusals={404: "There is no such patient"},
    ),
    Operation(
        method="PATCH",
        path="/patients/{id}",
        handler=change_patient,
        summary="Change a patient",
        access=Access.OPERATOR,
        parts=(PATIENT_ID,),
        headers=(IF_MATCH,),
        body=PATIENT_CHANGES,
        success=Success(description="The patient as it is now", data=PATIENT, is_versioned=True),
        refusals=CHANGE_REFUSALS,
    ),
    Operation(
        method="DELETE",
        path="/patients/{id}",
        handler=delete_patient,
        summary="Remove a patient with all that belongs to it",
        access=Access.OPERATOR,
        parts=(PATIENT_ID,),
        headers=(IF_MATCH,),
        success=Success(description="The patient is gone", data=DELETED),
        refusals=CHANGE_REFUSALS,
    ),
    *OF_PARTS,
)
