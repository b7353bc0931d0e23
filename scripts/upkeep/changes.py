"""Changes of records as data: each knows what was there before, so that it is done only while that is still so, and can be taken back."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from storage.conditions import Absent, AllOf, Condition, Equals, Present, Update
from storage.table import Change, Delete, Key, Put, Write
from storage.tables import TableDefinition
from storage.values import Item, decode_item, encode_item

type Wire = Mapping[str, Any]
"""A record as DynamoDB has it on the wire, with every type that there is."""


@dataclass(frozen=True, slots=True)
class RecordChange:
    """One record, and what becomes of some of its attributes."""

    key: Key
    before: Item | None
    """Those attributes as they are; None for a record that is not there."""
    after: Item | None
    """Those attributes as they shall be; None for a record that shall go."""

    def inverted(self) -> "RecordChange":
        """Return the change that takes this one back."""
        return RecordChange(self.key, self.after, self.before)

    def write(self, definition: TableDefinition) -> Write:
        """Return the write that does it if the record is still as it was, and fails otherwise."""
        if self.before is None:
            return Put(self.after or {}, Absent(definition.partition))
        if self.after is None:
            return Delete(self.key, AllOf(tuple(Equals(name, value) for name, value in self.before.items())))
        gone = tuple(name for name in self.before if name not in self.after)
        return Change(self.key, Update(set=self.after, remove=gone), _is_so(definition, self.before, self.after))

    def is_done(self, record: Item | None) -> bool:
        """Tell whether a record is as this change leaves it."""
        if self.after is None or record is None:
            return self.after is None and record is None
        gone = () if self.before is None else (name for name in self.before if name not in self.after)
        return all(name in record and record[name] == value for name, value in self.after.items()) and not any(
            name in record for name in gone
        )


def _is_so(definition: TableDefinition, before: Item, after: Item) -> Condition:
    kept = tuple(Equals(name, value) for name, value in before.items())
    absent = tuple(Absent(name) for name in after if name not in before)
    return AllOf((Present(definition.partition), *kept, *absent))


def changed(key: Key, before: Item, after: Item) -> RecordChange | None:
    """Return the change from one state of a record to another, None if they are the same."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name) or (name in before) != (name in after)]
    if not names:
        return None
    return RecordChange(
        key,
        {name: before[name] for name in names if name in before},
        {name: after[name] for name in names if name in after},
    )


def to_json(change: RecordChange) -> dict[str, Any]:
    """Return a change as the journal keeps it."""
    before = None if change.before is None else encode_item(change.before)
    after = None if change.after is None else encode_item(change.after)
    return {"key": [change.key.partition, change.key.sort], "before": before, "after": after}


def from_json(text: Mapping[str, Any]) -> RecordChange:
    """Return a change out of the journal."""
    before = None if text["before"] is None else decode_item(text["before"])
    after = None if text["after"] is None else decode_item(text["after"])
    return RecordChange(Key(*text["key"]), before, after)


def wire_line(wire: Wire) -> bytes:
    """Return a record as one line, always the same for the same record; bytes are in base64, as in DynamoDB's own JSON."""
    return orjson.dumps(_printable(wire), option=orjson.OPT_SORT_KEYS)


def wire_of(line: bytes) -> dict[str, Any]:
    """Return a record out of its line."""
    return {name: _from_printable(value) for name, value in orjson.loads(line).items()}


def digest(wire: Wire) -> bytes:
    """Return what two records share only when they are the same."""
    return hashlib.blake2b(wire_line(wire), digest_size=16).digest()


def _printable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _printable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(inner) for inner in value]
    return base64.b64encode(bytes(value)).decode() if isinstance(value, bytes | bytearray | memoryview) else value


def _from_printable(value: Mapping[str, Any]) -> dict[str, Any]:
    (kind, inner), *_ = value.items()
    match kind:
        case "B":
            return {"B": base64.b64decode(inner)}
        case "BS":
            return {"BS": [base64.b64decode(one) for one in inner]}
        case "M":
            return {"M": {name: _from_printable(one) for name, one in inner.items()}}
        case "L":
            return {"L": [_from_printable(one) for one in inner]}
        case _:
            return {kind: inner}
