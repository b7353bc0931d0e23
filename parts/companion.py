"""The parts of the companion: its patients in their tables, what a conversation begins with, and what its tools work on."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import structlog

from config import Settings
from parts.database import make_own_table
from publishing.interfaces import AlertSender
from session.errors import PatientsUnavailable
from storage.errors import StorageError
from storage.examples import write_example_patients
from storage.patient_models import Patient
from storage.patients import PatientBook, PatientTables
from storage.table import Database
from storage.tables import patients_table, relatives_table, reminders_table, routine_table
from tools.companion import Companion
from tools.patient_words import Known, describe
from transports.patients import NoPatients, Patients

log = structlog.get_logger()

LOOK_UP_SECONDS: Final = 3.0
"""For who a patient is: without that there is no conversation."""
CONTEXT_SECONDS: Final = 2.0
"""For what else is known: who says hello to a companion waits no longer, and the tools can look it up later."""


@dataclass(frozen=True, slots=True)
class FoundPatient:
    """A patient whom a session may be with; fits `transports.patients.Patient`."""

    patient: Patient
    book: PatientBook
    clock: Callable[[], datetime]
    seconds: float = CONTEXT_SECONDS

    @property
    def name(self) -> str:
        """How the patient is called."""
        return self.patient.name

    @property
    def user_ids(self) -> Collection[str]:
        """Who may talk as this patient."""
        return self.patient.user_ids

    async def context(self) -> str:
        """Return what is known, in words; what cannot be read in time is left to the tools."""
        own = self.patient.id
        relatives, steps, reminders = await asyncio.gather(
            self._in_time(self.book.relatives.of_patient(own)),
            self._in_time(self.book.day(own)),
            self._in_time(self.book.reminders.due(own)),
        )
        return describe(Known(self.patient, relatives, steps, reminders), self.clock())

    async def _in_time[T](self, reading: Awaitable[T]) -> T | None:
        try:
            async with asyncio.timeout(self.seconds):
                return await reading
        except (StorageError, TimeoutError) as error:
            log.warning("patients.context_incomplete", error=type(error).__name__)
            return None


@dataclass(frozen=True, slots=True)
class KnownPatients:
    """The patients of the book; fits `transports.patients.Patients`."""

    book: PatientBook
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    seconds: float = LOOK_UP_SECONDS
    """For who a patient is."""
    context_seconds: float = CONTEXT_SECONDS

    async def find(self, patient_id: str) -> FoundPatient | None:
        """Return a patient, None when there is none with this id.

        Raises:
            PatientsUnavailable: the store is away, or too slow.
        """
        try:
            async with asyncio.timeout(self.seconds):
                patient = await self.book.get(patient_id)
        except (StorageError, TimeoutError) as error:
            log.warning("patients.unavailable", error=type(error).__name__, reason=str(error))
            raise PatientsUnavailable from None
        return None if patient is None else FoundPatient(patient, self.book, self.clock, self.context_seconds)


@dataclass(frozen=True, slots=True)
class CompanionParts:
    """What there is for the companion; without a database it knows nobody."""

    book: PatientBook | None = None
    patients: Patients = field(default_factory=NoPatients)
    """Finds whom a session is to be with."""
    tools: Companion = field(default_factory=Companion)
    """What its tools work on."""


async def open_companion(settings: Settings, database: Database | None, alerts: AlertSender) -> CompanionParts:
    """Return what there is for the companion. That the store is away is no reason not to start."""
    if database is None:
        return CompanionParts()
    book = await _open_book(settings, database)
    return CompanionParts(book, KnownPatients(book), Companion(book, alerts, alerts_per_session=settings.alerts_per_session))


async def _open_book(settings: Settings, database: Database) -> PatientBook:
    """Return the book of patients, with two of them where the server made its tables for --local."""
    tables = PatientTables(
        patients_table(settings.patients_table),
        relatives_table(settings.relatives_table),
        routine_table(settings.routine_table),
        reminders_table(settings.reminders_table),
    )
    book = PatientBook(database, tables)
    try:
        made = [await make_own_table(settings, database.table(definition)) for definition in tables.all()]
        if settings.local and made[0]:
            written = [done async for done in write_example_patients(book, now=datetime.now(UTC))]
            log.info("patients.examples_written", records=len(written))
    except StorageError as error:
        log.warning("patients.not_stored", reason=str(error))
    return book
