"""The tables as data: one source for the server, the seed script, the infrastructure and the tests.

The first two carry a few internal records beside the public ones. Their keys have other prefixes and they carry none of the index
attributes, so no index ever shows them:

orders        REQUEST#{hash}       how a tool call left its order (idempotency), until expiresAt
              COUNTER#ORDER        the last order number given out
              ATTEMPTS#...         failed identity checks in one hour, until expiresAt
appointments  REQUEST#{hash}, COUNTER#APPOINTMENT, ATTEMPTS#... likewise
              SLOT#{doctor}#{time} five minutes of one doctor's time, held by one appointment, until expiresAt
              DOCTOR#{key}         how a doctor's name is spelt
sessions      SESSION#{handle}     a conversation that another process may go on with, sealed, until expiresAt

The connections table has one public kind of record, CONNECTION#{id} with the sort key METADATA, and beside it:

connections   AUDIT#{time}#...     under a connection's partition, or under SERVER: an entry of the audit trail, until expiresAt
              PROCESS#{process}    partition of what other processes want of this one, each until expiresAt

The conversations table has the keys `username` and `conversation_id`. Under its user, a conversation has one record with its own id, which
alone carries `startedAt`, and one for each turn with the sort key {conversation_id}#{turn}.

What the tables of the companion hold lies in partitions of its patients, PATIENT#{id}: in the patients table the patient itself, in the
others its relatives (RELATIVE#{id}), the steps of its routine (ROUTINE#{id}), and its reminders (REMINDER#{id}; only open ones carry
`openOf`, the patient's id).

The voice sessions table has one public kind of record, VOICE#{id} with the sort key METADATA; while a session lives, `liveOn` and
`liveSince` say where. Beside it:

voice         USER#{user}          with the sort key PREFERENCES: what a user prefers
sessions      PROCESS#{process}    with the sort key METADATA: when it was last heard of, in the index of what lives; with others: which
                                   sessions it is asked to end, each until expiresAt
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

PARTITION, SORT = "PK", "SK"
TTL_ATTRIBUTE = "expiresAt"
"""Seconds since 1970 after which a record counts as gone (DynamoDB developer guide, "Time to Live")."""


@dataclass(frozen=True, slots=True)
class Index:
    """A global secondary index that projects all attributes; key attributes are strings."""

    name: str
    partition: str
    sort: str | None = None


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """A table with two string keys, on-demand capacity."""

    name: str
    indexes: tuple[Index, ...] = ()
    ttl_attribute: str = TTL_ATTRIBUTE
    stream: str | None = "NEW_IMAGE"
    """What the change stream carries; None for no stream."""
    partition: str = PARTITION
    """Attribute that is the partition key."""
    sort: str = SORT
    """Attribute that is the sort key."""

    def index(self, name: str) -> Index:
        """Return the index of this name.

        Raises:
            KeyError: there is no such index.
        """
        return {index.name: index for index in self.indexes}[name]

    def key_attributes(self) -> tuple[str, ...]:
        """Return every attribute that is a key of the table or of an index, without repetition."""
        names = [self.partition, self.sort]
        for index in self.indexes:
            names += [index.partition] + ([index.sort] if index.sort else [])
        return tuple(dict.fromkeys(names))


def orders_table(name: str = "nova-sonic-orders") -> TableDefinition:
    """Return the definition of the orders table under the name that this installation gives it."""
    return TableDefinition(
        name,
        (Index("CustomerEmailIndex", "customerEmail"), Index("StatusIndex", "status", "createdAt")),
    )


def appointments_table(name: str = "nova-sonic-appointments") -> TableDefinition:
    """Return the definition of the appointments table under the name that this installation gives it."""
    return TableDefinition(
        name,
        (
            Index("PatientEmailIndex", "patientEmail"),
            Index("DoctorDateIndex", "doctorName", "appointmentDate"),
            Index("StatusIndex", "status"),
        ),
    )


def sessions_table(name: str = "nova-sonic-sessions") -> TableDefinition:
    """Return the definition of the table of parked sessions under the name that this installation gives it."""
    return TableDefinition(name, stream=None)


def connections_table(name: str = "airium-websocket-connections") -> TableDefinition:
    """Return the definition of the table of connections under the name that this installation gives it."""
    return TableDefinition(
        name,
        (
            Index("UserIndex", "userId", "createdAt"),
            Index("StatusIndex", "status", "lastActivity"),
            Index("OperationsIndex", "operationsDay", "at"),
        ),
        stream=None,
    )


def voice_sessions_table(name: str = "airium-voice-sessions") -> TableDefinition:
    """Return the definition of the table of voice sessions under the name that this installation gives it."""
    return TableDefinition(
        name,
        (
            Index("ConnectionIndex", "connectionId", "createdAt"),
            Index("UserIndex", "userId", "createdAt"),
            Index("LiveIndex", "liveOn", "liveSince"),
        ),
        stream=None,
    )


def conversations_table(name: str = "NovaSonicConversations") -> TableDefinition:
    """Return the definition of the table of conversations under the name that this installation gives it."""
    return TableDefinition(
        name,
        (Index("ConversationIdIndex", "conversation_id"), Index("UsernameIndex", "username", "startedAt")),
        partition="username",
        sort="conversation_id",
    )


def patients_table(name: str = "buddy-patients") -> TableDefinition:
    """Return the definition of the table of the companion's patients under the name that this installation gives it."""
    return TableDefinition(name, (Index("PatientIndex", "kind", "id"),), stream=None)


def relatives_table(name: str = "buddy-relatives") -> TableDefinition:
    """Return the definition of the table of patients' relatives under the name that this installation gives it."""
    return TableDefinition(name, stream=None)


def routine_table(name: str = "buddy-routine") -> TableDefinition:
    """Return the definition of the table of patients' days under the name that this installation gives it."""
    return TableDefinition(name, stream=None)


def reminders_table(name: str = "buddy-reminders") -> TableDefinition:
    """Return the definition of the table of patients' reminders under the name that this installation gives it."""
    return TableDefinition(name, (Index("DueIndex", "openOf", "dueAt"),), stream=None)


DEFINITIONS: Final[tuple[Callable[[str], TableDefinition], ...]] = (
    orders_table,
    appointments_table,
    sessions_table,
    connections_table,
    voice_sessions_table,
    conversations_table,
    patients_table,
    relatives_table,
    routine_table,
    reminders_table,
)
"""Every table there is; the setting with its name is called like the function."""


def all_tables(settings: object) -> tuple[TableDefinition, ...]:
    """Return every table under the name that this installation gives it.

    Args:
        settings: has a name for each of DEFINITIONS, as `Settings` in config.py.
    """
    return tuple(define(getattr(settings, define.__name__)) for define in DEFINITIONS)
