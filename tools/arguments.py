"""From the model's JSON text to the arguments of a function.

Models encode arguments twice, spell names in two ways, write numbers as words and write "null" for nothing (seen in livekit/agents and in
AWS's samples); all of that is put right here. What is left to be wrong is answered with what to ask the user.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from decimal import Decimal
from enum import StrEnum
from typing import get_args, get_origin

from storage.names import fold
from tools.errors import InvalidArguments
from tools.schema import Parameter, fields_of
from tools.spoken import digits

MAX_ARGUMENTS_BYTES = 64 * 1024
MAX_TEXT = 300
"""Characters in one text."""
MAX_MEMBERS = 64
"""Parts of one list, or members of one object."""
_LARGEST = 10**12
_LARGEST_DIGITS = 12
_NOTHING = frozenset({"", "null", "none", "undefined", "n/a", "nil"})
_AMOUNT = re.compile(r"(?P<whole>-?(?:[1-9]\d{0,2}(?:\.\d{3})+|[1-9]\d{0,2}(?:,\d{3})+|\d{1,12}))(?:[.,](?P<cents>\d{1,2}))?")
_MISSING = object()


def decode_arguments(text: str) -> Mapping[str, object]:
    """Parse the model's arguments, peeling off up to two layers of encoding; numbers with a fraction become Decimal.

    Raises:
        InvalidArguments: they are no JSON object.
    """
    if len(text) > MAX_ARGUMENTS_BYTES:
        raise InvalidArguments("The arguments are too long.", "arguments_too_long")
    value: object = text if text.strip() else "{}"
    for _ in range(3):
        if not isinstance(value, str):
            break
        value = _load(value)
    if not isinstance(value, dict) or len(value) > MAX_MEMBERS:
        raise InvalidArguments("The arguments have to be one JSON object.", "arguments_not_json")
    return {str(name): inner for name, inner in value.items()}


def bind(parameters: Sequence[Parameter], given: Mapping[str, object]) -> dict[str, object]:
    """Return keyword arguments; names that no parameter has are left out, so nothing but the parameters can be set.

    Raises:
        InvalidArguments: one is missing, twice there with two values, or of the wrong type.
    """
    by_name: dict[str, list[object]] = {}
    for name, value in given.items():
        if not _is_nothing(value):
            by_name.setdefault(_plain(name), []).append(value)
    bound: dict[str, object] = {}
    missing: list[str] = []
    for one in parameters:
        value = _pick(one, by_name)
        if value is not _MISSING:
            bound[one.keyword] = convert(one, value)
        elif one.is_required:
            missing.append(one.name)
    if missing:
        raise InvalidArguments(f"Ask the user for: {', '.join(missing)}.", "missing_arguments")
    return bound


def convert(parameter: Parameter, value: object) -> object:
    """Return a value of the parameter's type.

    Raises:
        InvalidArguments: it cannot be one.
    """
    kind = parameter.type
    if get_origin(kind) is tuple:
        return _convert_list(parameter, value)
    if isinstance(kind, type) and is_dataclass(kind):
        return _convert_object(parameter, kind, value)
    if kind is bool:
        return _convert_bool(parameter, value)
    if kind is int:
        return _convert_int(parameter, value)
    if kind is Decimal:
        return _convert_decimal(parameter, value)
    text = _convert_text(parameter, value)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _convert_choice(parameter, kind, text)
    for parser in parameter.parsers:
        text = parser(text)
    return text


def _load(text: str) -> object:
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidArguments("The arguments have to be one JSON object.", "arguments_not_json") from error


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


def _pick(parameter: Parameter, by_name: Mapping[str, list[object]]) -> object:
    names = dict.fromkeys(_plain(name) for name in (parameter.name, *parameter.aliases))
    values = [value for name in names for value in by_name.get(name, [])]
    if not values:
        return _MISSING
    if any(str(value) != str(values[0]) for value in values):
        raise InvalidArguments(f"{parameter.name} is given twice, with two values. Ask the user which one is right.")
    return values[0]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _is_nothing(value: object) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in _NOTHING)


def _convert_text(parameter: Parameter, value: object) -> str:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        value = _number_text(parameter, value)
    if not isinstance(value, str):
        raise _wrong(parameter, "a text")
    kept = "".join(letter if unicodedata.category(letter) not in ("Cc", "Cs", "Cf") else " " for letter in value)
    text = " ".join(kept.split())
    if not text or len(text) > MAX_TEXT:
        raise _wrong(parameter, f"a text of 1 to {MAX_TEXT} characters")
    return text


def _number_text(parameter: Parameter, value: int | Decimal) -> str:
    number = _number(value)
    if number is None:
        raise _wrong(parameter, "a text")
    return str(int(number)) if number == number.to_integral_value() else str(number)


def _convert_int(parameter: Parameter, value: object) -> int:
    number = _number(_whole(value) if isinstance(value, str) else value)
    if number is None or number != int(number):
        raise _wrong(parameter, "a whole number")
    return int(number)


def _convert_decimal(parameter: Parameter, value: object) -> Decimal:
    number = _number(_amount(value) if isinstance(value, str) else value)
    if number is None:
        raise _wrong(parameter, "a number")
    return number


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value)
    # Compared before anything else is done with it: 1e999999999 has a billion digits, and 1e-999999999 as many.
    is_usual = -_LARGEST < number < _LARGEST and (number == 0 or number.adjusted() > -_LARGEST_DIGITS)
    return number if is_usual else None


def _whole(text: str) -> int | None:
    found = digits(text)
    return int(found) if found is not None and len(found) <= _LARGEST_DIGITS else None


def _amount(text: str) -> Decimal | None:
    """Read an amount of money: 25.99, "25,99", "1.234,50", "$ 1,234.50", or a whole number in words."""
    found = _AMOUNT.fullmatch(re.sub(r"[\s$€]|USD|ARS", "", text))
    if found is not None:
        whole = re.sub(r"[.,]", "", found["whole"])
        return Decimal(f"{whole}.{found['cents'] or 0}")
    number = _whole(text) if not re.search(r"\d", text) else None
    return Decimal(number) if number is not None else None


def _convert_bool(parameter: Parameter, value: object) -> bool:
    if isinstance(value, str):
        value = {"true": True, "false": False, "si": True, "yes": True, "no": False}.get(fold(value))
    if not isinstance(value, bool):
        raise _wrong(parameter, "true or false")
    return value


def _convert_choice(parameter: Parameter, kind: type[StrEnum], text: str) -> StrEnum:
    for member in kind:
        if _plain(fold(text)) == _plain(member.value):
            return member
    raise _wrong(parameter, f"one of {', '.join(member.value for member in kind)}")


def _convert_list(parameter: Parameter, value: object) -> tuple[object, ...]:
    if isinstance(value, str):
        value = _load(value)
    values = value if isinstance(value, list) else [value]
    if len(values) > MAX_MEMBERS:
        raise _wrong(parameter, f"a list of at most {MAX_MEMBERS} parts")
    part = Parameter(parameter.name, parameter.keyword, get_args(parameter.type)[0], "", is_required=True, parsers=parameter.parsers)
    return tuple(convert(part, one) for one in values)


def _convert_object(parameter: Parameter, kind: type, value: object) -> object:
    if isinstance(value, str):
        value = _load(value)
    if not isinstance(value, dict):
        raise _wrong(parameter, "an object")
    made: object = kind(**bind(fields_of(kind), {str(name): inner for name, inner in value.items()}))
    return made


def _wrong(parameter: Parameter, wanted: str) -> InvalidArguments:
    return InvalidArguments(f"{parameter.name} has to be {wanted}. Ask the user again.")
