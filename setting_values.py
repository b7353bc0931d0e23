"""How the values of settings are read: each function takes a variable's text and returns its value, or raises ValueError."""

import base64
import ipaddress
import re
from collections.abc import Callable
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from storage.cipher import KEY_BYTES

MAX_PORT: Final = 65_535
MIN_SALT: Final = 16
MAX_SAMPLING: Final = 1_000_000


def text(value: str) -> str:
    """Return the value as it is."""
    return value


def matching(pattern: re.Pattern[str], kind: str) -> Callable[[str], str]:
    """Return what takes values of this pattern."""

    def parse(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"is not {kind}")
        return value

    return parse


def number(lowest: int, highest: int) -> Callable[[str], int]:
    """Return what takes whole numbers from lowest to highest."""

    def parse(value: str) -> int:
        if not (value.isascii() and value.isdigit() and lowest <= int(value[:9]) <= highest):
            raise ValueError(f"must be a whole number from {lowest} to {highest}")
        return int(value)

    return parse


port = number(0, MAX_PORT)
segment = matching(re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,48}[A-Za-z0-9])?"), "a namespace of letters, digits and hyphens")
topic_arn = matching(re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?"), "the ARN of an SNS topic")
table_name = matching(re.compile(r"[A-Za-z0-9_.-]{3,255}"), "a table name")
"""Names that DynamoDB takes (developer guide, "Naming rules")."""


def ports(value: str) -> tuple[int, ...]:
    """Return the one port that was asked for."""
    return (port(value),)


def choice[E: StrEnum](kind: type[E], fold: Callable[[str], str] = str.lower) -> Callable[[str], E]:
    """Return what takes the values of an enumeration."""

    def parse(value: str) -> E:
        try:
            return kind(fold(value))
        except ValueError:
            raise ValueError(f"must be one of {', '.join(kind)}") from None

    return parse


def endpoint(value: str) -> str:
    """Return an address without its last slash."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("must be an address like https://host:port")
    return value.rstrip("/")


def is_loopback(host: str) -> bool:
    """Return whether this machine alone can reach an address that is listened on."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def issuer(value: str) -> str:
    """Return the address of an issuer of tokens, as its tokens name it."""
    address = endpoint(value)
    parts = urlsplit(address)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ValueError("must begin with https://: whoever changes the keys on their way can be anybody")
    return address


def bucket(value: str) -> str:
    """Return the name of an S3 bucket."""
    if re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value) is None or ".." in value:  # S3 user guide, "Bucket naming rules"
        raise ValueError("must be the name of a bucket: 3 to 63 small letters, digits, dots and hyphens")
    return value


def guarded_endpoint(value: str) -> str:
    """Return an address that secrets are sent to."""
    address = endpoint(value)
    parts = urlsplit(address)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ValueError("must begin with https://: what is sent there proves who we are")
    return address


def names(value: str) -> tuple[str, ...]:
    """Return names that are separated by commas."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def existing_file(value: str) -> Path:
    """Return the path of a file that is there."""
    path = Path(value)
    if not path.is_file():
        raise ValueError("is not a file that can be read")
    return path


def path(value: str) -> Path:
    """Return a path."""
    return Path(value)


def time_zone(value: str) -> ZoneInfo:
    """Return a time zone."""
    try:
        return ZoneInfo(value)
    except (OSError, ValueError, KeyError):  # what the database raises for folders, forbidden paths and unknown names
        raise ValueError("is not a time zone of the IANA database") from None


def origins(value: str) -> tuple[str, ...]:
    """Return origins of pages."""
    origins = tuple(part.strip().rstrip("/").lower() for part in value.split(",") if part.strip())
    for origin in origins:
        parts = urlsplit(origin)
        if origin != "*" and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query):
            raise ValueError("must be origins like https://host, separated by commas, or *")
    return origins


def sampling(value: str) -> int:
    """Return the one of how many sessions that is recorded, 0 for none."""
    match value.lower().partition(":"):
        case ("all", "", ""):
            return 1
        case ("off", "", ""):
            return 0
        case ("every", ":", number) if number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= MAX_SAMPLING:
            return int(number)
        case _:
            raise ValueError(f"must be all, off, or every:N with a number from 1 to {MAX_SAMPLING}")


def yes_or_no(value: str) -> bool:
    """Return whether the value is yes."""
    if value.lower() not in {"yes", "no"}:
        raise ValueError("must be yes or no")
    return value.lower() == "yes"


def salt(value: str) -> str:
    """Return a secret that is long enough."""
    if len(value) < MIN_SALT:
        raise ValueError(f"must have at least {MIN_SALT} characters")
    return value


def keys(value: str) -> tuple[bytes, ...]:
    """Return keys for sealing."""
    try:
        keys = tuple(base64.b64decode(part.strip(), validate=True) for part in value.split(","))
    except ValueError:  # also of letters that are not ASCII
        keys = ()
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise ValueError(f"must be keys of {KEY_BYTES} bytes in base64, separated by commas: openssl rand -base64 {KEY_BYTES}")
    return keys


def setting[T](
    env: str, doc: str, parse: Callable[[str], T], default: T, *, shown: str | None = None, unit: str = "", secret: bool = False
) -> T:
    """Return a dataclass field; typed as its value, which is what type checkers know of `dataclasses.field`."""
    text = str(default) if shown is None else shown
    metadata = {"env": env, "doc": doc, "unit": unit, "default": text, "parse": parse, "secret": secret}
    return field(default=default, repr=not secret, metadata=metadata)
