"""Parameters that several resources have."""

from typing import Final

from api.errors import RuleBroken
from api.schema import Member, Text, Whole
from storage.names import fold
from storage.rules import MAX_EMAIL, MAX_NAME

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 100
"""Records on one page: reading one from DynamoDB takes the event loop 50 us (measured), and speech waits no longer than 5 ms."""
MAX_CURSOR: Final = 1_024
MAX_USER: Final = 256
"""Characters of a user id."""

RECORD_ID: Final = Text(36, pattern="^[A-Za-z0-9-]+$", example="1")
EMAIL: Final = Text(
    MAX_EMAIL,
    shortest=3,
    pattern="^[A-Za-z0-9.!#$%&*+/=?^_{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\\.[A-Za-z0-9-]{1,63})+$",
    example="ana@email.com",
)
NAME: Final = Text(MAX_NAME, example="Ana Martínez")

ID: Final = Member("id", RECORD_ID, "Number of the record.", is_required=True)
LIMIT: Final = Member("limit", Whole(1, MAX_LIMIT), f"Most records on one page; {DEFAULT_LIMIT} without it.")
CURSOR: Final = Member("cursor", Text(MAX_CURSOR, pattern="^[A-Za-z0-9_-]+$"), "nextCursor of the page before.")


def person_name(text: str) -> str:
    """Return a name without surplus spaces.

    Raises:
        RuleBroken: it has neither a letter nor a digit.
    """
    if not fold(text):
        raise RuleBroken("A name needs letters.")
    return " ".join(text.split())
