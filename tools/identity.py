"""Who may see or change a record: what people say of themselves is compared with what the record holds.

A record that does not exist and one that belongs to somebody else are answered alike, after the same work, so that nobody can find out
which numbers exist. Checks are counted before they are made, and given back when they succeed: at most five failures in a session, at most
twenty of one user in an hour and a hundred from one address, whatever the session, and at most ten on one record in an hour, whoever asks
(OWASP ASVS 5.0, 2.4 and 6.3, anti-automation).
"""

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Annotated, NoReturn

from storage.appointments import Appointments
from storage.errors import StorageUnavailable
from storage.models import Appointment, Order
from storage.names import fold
from storage.orders import Orders, hash_dni
from storage.records import release_attempt, reserve_attempt
from storage.table import Table
from tools.errors import InvalidArguments, ToolError
from tools.registry import ToolCall
from tools.schema import Parse
from tools.spoken import digits

MAX_FAILURES_PER_SESSION = 5
MAX_FAILURES_PER_USER = 20
"""Within an hour."""
MAX_FAILURES_PER_ADDRESS = 100
"""Within an hour; an address can be a whole office's."""
MAX_SESSIONS = 4096
"""Sessions whose failures are remembered; the oldest goes first."""
_ID = re.compile(r"[A-Za-z0-9-]{1,36}")
_EMAIL = re.compile(r"[^\s@<>\"',;:()]{1,64}@[a-z0-9-]+(?:\.[a-z0-9-]+)+")
_NO_HASH = "0" * 64
_UNSPOKEN = str.maketrans(dict.fromkeys("-\u2010\u2011\u2012\u2013", " ") | dict.fromkeys("'`\u00b4\u2018\u2019\u02bc"))
"""Hyphens and apostrophes, which speech recognition writes or leaves out as it likes."""


def parse_record_id(text: str) -> str:
    """Return the number of a record: "6", "seis", "número 6" and "#6" are all "6"."""
    text = text.strip().removeprefix("#").strip()
    if not (_ID.fullmatch(text) and any(letter.isdigit() for letter in text)):
        text = digits(text) or ""
    if _ID.fullmatch(text) is None:
        raise InvalidArguments("The number was not understood. Ask the user for it again, and send it as digits.", "invalid_number")
    return text


def parse_dni(text: str) -> str:
    """Return the digits of a DNI: "12.345.678", "uno dos tres ..." and "doce millones ..." are all "12345678"."""
    found = digits(text)
    if found is None or not 6 <= len(found) <= 9:  # noqa: PLR2004 - DNIs have seven or eight digits, and room for a slip
        raise InvalidArguments("The DNI was not understood. Ask the user for it digit by digit, or for the full name.", "invalid_dni")
    return found


def parse_name(text: str) -> str:
    """Return a name without surplus spaces."""
    if not fold(text) or len(text) > 100:  # noqa: PLR2004 - longer than any name
        raise InvalidArguments("The name was not understood. Ask the user for the full name.", "invalid_name")
    return text


def parse_email(text: str) -> str:
    """Return an e-mail address in small letters: "Juan punto Perez arroba email punto com" too."""
    address = text.lower()
    for said, sign in ((r"arroba|\bat\b", "@"), (r"punto|\bdot\b", "."), (r"guion bajo|underscore", "_"), (r"guion|\bdash\b", "-")):
        address = re.sub(rf"\s+(?:{said})\s+", sign, address)
    address = address.replace(" ", "")
    if _EMAIL.fullmatch(address) is None or len(address) > 254:  # noqa: PLR2004 - RFC 5321 4.5.3.1.3
        raise InvalidArguments("The e-mail address was not understood. Ask the user for it again.", "invalid_email")
    return address


RecordId = Annotated[str, Parse(parse_record_id)]
Dni = Annotated[str, Parse(parse_dni)]
PersonName = Annotated[str, Parse(parse_name)]
Email = Annotated[str, Parse(parse_email)]


class Identity:
    """Checks identities.

    Args:
        salt: the installation's secret for hashes of DNIs; None lets no DNI ever match.
        clock: the time now, with a zone.
        callers: table in which the failures of callers are counted.
    """

    def __init__(self, salt: bytes | None, clock: Callable[[], datetime], callers: Table) -> None:
        self._salt = salt or secrets.token_bytes(32)
        self._clock = clock
        self._callers = callers
        self._failures: OrderedDict[str, int] = OrderedDict()

    async def order(self, call: ToolCall, orders: Orders, order_id: str, dni: str | None, name: str | None) -> Order:
        """Return the order if everything that was said of its customer is right.

        Raises:
            ToolError: nothing was said, it is not right, or too much was tried.
        """
        if dni is None and name is None:
            raise ToolError("identity_required", "Ask the user for the DNI or the full name.")

        async def check() -> Order | None:
            order = await orders.get(order_id)
            # With no order, no hash or no name given, the same is computed, on what can never match.
            stored_hash = (order.dni_hash if order else None) or _NO_HASH
            stored_name = order.customer_name if order else ""
            is_dni_right = hmac.compare_digest(hash_dni(dni or "", self._salt), stored_hash)
            is_name_right = _same_name(name or "", stored_name)
            said = [right for given, right in ((dni, is_dni_right), (name, is_name_right)) if given is not None]
            return order if order is not None and all(said) else None

        message = "The details do not match an order. Ask the user for the order number, and the DNI or the full name, once more."
        return await self._checked(call, orders.table, f"ORDER#{order_id}", check, message)

    async def appointment(self, call: ToolCall, appointments: Appointments, appointment_id: str, name: str) -> Appointment:
        """Return the appointment if the patient's name is right.

        Raises:
            ToolError: it is not, or too much was tried.
        """

        async def check() -> Appointment | None:
            appointment = await appointments.get(appointment_id)
            is_right = _same_name(name, appointment.patient_name if appointment else "")
            return appointment if is_right else None

        message = "The details do not match an appointment. Ask the user for the appointment number and the patient's full name once more."
        return await self._checked(call, appointments.table, f"APPOINTMENT#{appointment_id}", check, message)

    def forget(self, session_id: str) -> None:
        """Drop what is remembered for a session that has ended."""
        self._failures.pop(session_id, None)

    async def _checked[T](self, call: ToolCall, table: Table, record: str, check: Callable[[], Awaitable[T | None]], message: str) -> T:
        now = self._clock()
        self._count(call.session_id, 1)
        is_failure = False
        try:
            is_allowed = await self._reserve(call, now) and await reserve_attempt(table, record, now)
            found = await check() if is_allowed else _locked()
            is_failure = found is None
        finally:
            # A check that could not be made is no failure either.
            if not is_failure:
                self._count(call.session_id, -1)
        if found is None:
            raise ToolError("identity_not_verified", message)
        with suppress(StorageUnavailable):
            # If a count cannot be lowered now, one attempt of this hour is lost, and nothing else.
            await release_attempt(table, record, now)
            if call.caller:
                await release_attempt(self._callers, _name_of(call), now)
        return found

    async def _reserve(self, call: ToolCall, now: datetime) -> bool:
        """Count a check of this caller; False when too many failed within this hour."""
        most = MAX_FAILURES_PER_ADDRESS if call.caller.startswith("address:") else MAX_FAILURES_PER_USER
        return not call.caller or await reserve_attempt(self._callers, _name_of(call), now, most)

    def _count(self, session_id: str, step: int) -> None:
        failures = self._failures.get(session_id, 0)
        if step > 0 and failures >= MAX_FAILURES_PER_SESSION:
            _locked()
        self._failures[session_id] = max(0, failures + step)
        self._failures.move_to_end(session_id)
        while len(self._failures) > MAX_SESSIONS:
            self._failures.popitem(last=False)


def _locked() -> NoReturn:
    raise ToolError("identity_locked", "Too many failed tries. Tell the user that a person has to help from here; do not try again.")


def _name_of(call: ToolCall) -> str:
    """Return what a caller is counted under: nobody's address or id is kept for that."""
    return f"CALLER#{hashlib.sha256(call.caller.encode(errors='replace')).hexdigest()[:32]}"


def _same_name(said: str, stored: str) -> bool:
    return bool(stored) and hmac.compare_digest(_spoken(said), _spoken(stored))


def _spoken(name: str) -> bytes:
    """Return how a name sounds in writing: a hyphen is a space, and an apostrophe nothing."""
    return fold(name.translate(_UNSPOKEN)).encode(errors="replace")
