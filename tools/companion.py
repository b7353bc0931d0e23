"""What the companion's tools work on: the patient of the session and nobody else, and the people who are sent for."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from publishing.events import Alert, Severity
from publishing.interfaces import AlertSender, Silent
from storage.errors import StorageError
from storage.patient_models import Patient
from storage.patients import PatientBook
from tools.errors import ToolError
from tools.registry import ToolCall

ALERTS_PER_SESSION: Final = 3
MAX_SESSIONS: Final = 4096
"""Sessions whose alerts are counted; the oldest goes first."""
NAME_SECONDS: Final = 1.0
"""How long an alert waits for the name of whom it is about: who needs help does not wait for a store."""


class Companion:
    """Finds the patient of a session, and sends for people.

    Args:
        book: of the patients; None where there are none.
        alerts: sends for the people who look after patients.
        clock: the time now, with a zone.
        alerts_per_session: how often within one session.
    """

    def __init__(
        self,
        book: PatientBook | None = None,
        alerts: AlertSender | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        alerts_per_session: int = ALERTS_PER_SESSION,
    ) -> None:
        self._book = book
        self._alerts = alerts or Silent()
        self.clock = clock
        self._most = alerts_per_session
        self._sent: OrderedDict[str, set[str]] = OrderedDict()
        """Requests of each session for which an alert was sent."""

    async def patient(self, call: ToolCall) -> tuple[PatientBook, Patient]:
        """Return the patient of the session, and the book.

        Raises:
            ToolError: the session is with nobody in particular, or the patient is not known any more.
        """
        if self._book is None or not call.patient_id:
            raise _nobody()
        patient = await self._book.get(call.patient_id)
        if patient is None:
            raise _nobody()
        return self._book, patient

    async def send_for_help(self, call: ToolCall, what: str, severity: Severity) -> None:
        """Tell the people who look after the patient; the same call again tells nobody anything.

        Raises:
            ToolError: the session is with nobody in particular, or they were told often enough.
        """
        if self._book is None or not call.patient_id:
            raise _nobody()
        name = await self._name(call)
        sent = self._sent.setdefault(call.session_id, set())
        self._sent.move_to_end(call.session_id)
        if call.request_id in sent:
            return
        if len(sent) >= self._most:
            message = "They have been told already, as often as can be. Say so calmly, and to call the emergency number in an emergency."
            raise ToolError("too_many_alerts", message)
        sent.add(call.request_id)
        while len(self._sent) > MAX_SESSIONS:
            self._sent.popitem(last=False)
        details = {"patientId": call.patient_id, "alertId": call.request_id}
        self._alerts.send(
            Alert(
                code="patient_needs_help",
                message=f"{name}: {what}",
                at=self.clock(),
                severity=severity,
                session_id=call.session_id,
                details=details,
            )
        )

    def forget(self, session_id: str) -> None:
        """Drop what is remembered for a session that has ended."""
        self._sent.pop(session_id, None)

    async def _name(self, call: ToolCall) -> str:
        with suppress(StorageError, TimeoutError):
            async with asyncio.timeout(NAME_SECONDS):
                return (await self.patient(call))[1].name
        return call.patient_id


def _nobody() -> ToolError:
    return ToolError("no_patient", "This conversation is with nobody whose records are kept here. Say that you do not know.")
