"""Whom a companion talks to. Where patients are kept is the business of who implements this."""

from collections.abc import Collection
from dataclasses import replace
from typing import Protocol

from auth.principal import Principal
from session.errors import UnknownPatient
from session.events import Start
from transports.dialects.interface import PatientFound, StartFor


class Patient(Protocol):
    """What is known of a patient."""

    @property
    def name(self) -> str:
        """How the patient is called."""

    @property
    def user_ids(self) -> Collection[str]:
        """Who may talk as this patient, beside operators: subjects of tokens."""

    async def context(self) -> str:
        """Return what the assistant has to know, in words: relatives, routine. What cannot be read in time is left out."""


class Patients(Protocol):
    """Finds patients."""

    async def find(self, patient_id: str) -> Patient | None:
        """Return a patient, None when there is none with this id.

        Args:
            patient_id: letters, digits, hyphens and underscores, 64 at most.

        Raises:
            PatientsUnavailable: nobody can be looked up now.
        """


class NoPatients:
    """Knows nobody."""

    async def find(self, patient_id: str) -> Patient | None:  # noqa: ARG002 - it is none, whoever is meant
        """Return nobody."""
        return None


async def introduce(wanted: StartFor, patients: Patients, principal: Principal) -> tuple[Start, PatientFound]:
    """Return how the session of a patient begins.

    Args:
        wanted: what the client asked for.
        patients: finds the patient.
        principal: who the client is.

    Raises:
        UnknownPatient: there is none with this id, or it is not this client's: it is not told which.
        PatientsUnavailable: nobody can be looked up now.
    """
    patient = await patients.find(wanted.patient_id)
    if patient is None or not (principal.is_operator or principal.user_id in patient.user_ids):
        raise UnknownPatient
    start = replace(wanted.start, context=await patient.context(), patient_id=wanted.patient_id)
    return start, PatientFound(patient.name)
