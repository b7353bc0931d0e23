"""Items and their encoding. Both drivers store DynamoDB's own attribute values, so that a number means the same in both.

Numbers are exact: int or Decimal, never float (DynamoDB developer guide, "Data types": up to 38 digits of precision).
"""

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal, DecimalException, Inexact, Overflow, Rounded
from typing import Any

from storage.errors import InvalidRequest

type Value = bool | int | Decimal | str | Sequence[Value] | Mapping[str, Value] | None
type Item = Mapping[str, Value]
type Wire = dict[str, Any]
"""An item in DynamoDB's JSON: {"total": {"N": "67.48"}}."""

_NUMBERS = Context(prec=38, traps=[Inexact, Rounded, Overflow])


def encode_item(item: Item) -> Wire:
    """Encode an item.

    Raises:
        InvalidRequest: a value is of a type that cannot be stored, for instance a float.
    """
    return {name: encode_value(value) for name, value in item.items()}


def decode_item(wire: Mapping[str, Any]) -> dict[str, Value]:
    """Decode an item as a driver returns it."""
    return {name: decode_value(value) for name, value in wire.items()}


def encode_value(value: object) -> dict[str, Any]:
    """Encode one value."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | Decimal():
            return {"N": _encode_number(Decimal(value))}
        case str():
            if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
                raise InvalidRequest("a text is not Unicode")
            return {"S": str(value)}
        case Mapping():
            return {"M": {str(key): encode_value(inner) for key, inner in value.items()}}
        case list() | tuple():
            return {"L": [encode_value(inner) for inner in value]}
        case _:
            raise InvalidRequest(f"a {type(value).__name__} cannot be stored")


def decode_value(wire: Mapping[str, Any]) -> Value:
    """Decode one value.

    Raises:
        InvalidRequest: the store holds a type that this program never writes.
    """
    match wire:
        case {"S": str(text)}:
            return text
        case {"N": str(text)}:
            return _decode_number(text)
        case {"BOOL": bool(flag)}:
            return flag
        case {"NULL": _}:
            return None
        case {"L": list(inner)}:
            return [decode_value(value) for value in inner]
        case {"M": dict(inner)}:
            return decode_item(inner)
        case _:
            raise InvalidRequest(f"an attribute of type {'/'.join(wire)} cannot be read")


def _encode_number(number: Decimal) -> str:
    try:
        exact = _NUMBERS.create_decimal(number)
        if not exact.is_finite():
            raise InvalidRequest("a number has to be finite")
        return format(exact.normalize(_NUMBERS), "f")
    except DecimalException as error:
        raise InvalidRequest("a number has more than 38 digits") from error


def _decode_number(text: str) -> int | Decimal:
    number = Decimal(text)
    return int(number) if number == number.to_integral_value() else number
