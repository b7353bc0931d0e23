"""What a migration tells of itself: for people, and as JSON."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

SHOWN: Final = 10
"""Problems that are written out; the others are counted."""


class Outcome(StrEnum):
    """How a migration ended."""

    PLANNED = "planned"
    """A dry run: nothing was changed."""
    NOTHING = "nothing to do"
    DONE = "done"
    ROLLED_BACK = "rolled back"
    STOPPED = "stopped"
    """Some of it is done: it can be resumed, or rolled back."""


@dataclass(slots=True)
class Verified:
    """A table after the migration, compared with its copy from before."""

    records: int = 0
    untouched: int = 0
    checksum_before: str = ""
    """Of the records that the migration leaves alone, whatever their order; in the copy, and in the table."""
    checksum_after: str = ""
    changed: int = 0
    made: int = 0
    by_others: int = 0
    """Records that somebody else has written, added or removed since the copy was made."""
    readable: int = 0
    wrong: list[str] = field(default_factory=list)
    """Keys of records that are not as the migration meant them; then everything is rolled back."""


@dataclass(slots=True)
class TableReport:
    """What became of one table."""

    table: str
    mended: list[str] = field(default_factory=list)
    """What was, or would be, put right of the table itself."""
    left: list[str] = field(default_factory=list)
    """What of the table only a person can put right, with the cure."""
    records: int = 0
    to_change: int = 0
    done: int = 0
    contested: int = 0
    """Records that others kept changing: the next run finds them."""
    problems: list[str] = field(default_factory=list)
    """Records that stay as they are, each with its reason."""
    unreadable: int = 0
    copy: str = ""
    """Where the copy is."""
    restored: int = 0
    not_restored: int = 0
    """Records that somebody else has changed since, and that were left alone."""
    verified: Verified | None = None


@dataclass(slots=True)
class Report:
    """What became of a migration."""

    run: str
    outcome: Outcome = Outcome.NOTHING
    tables: list[TableReport] = field(default_factory=list)
    error: str = ""
    advice: str = ""

    @property
    def exit_code(self) -> int:
        """0 when what was asked for was done, otherwise 1."""
        return 1 if self.error or self.outcome is Outcome.STOPPED else 0


def as_text(report: Report) -> str:
    """Return a report for people."""
    return "\n".join(_lines(report))


def as_json(report: Report) -> dict[str, Any]:
    """Return a report for programs."""
    return {
        "run": report.run,
        "outcome": report.outcome.value,
        "exitCode": report.exit_code,
        "error": report.error or None,
        "advice": report.advice or None,
        "tables": [_table_json(table) for table in report.tables],
    }


def _lines(report: Report) -> Iterator[str]:
    for table in report.tables:
        counts = f"{table.records} records, {table.to_change} to change, {table.done} changed, {table.unreadable} unreadable"
        yield table.table if table.restored and not table.to_change else f"{table.table}: {counts}"
        for line in table.mended:
            yield f"  table     {line}"
        for line in table.left:
            yield f"  open      {line}"
        if table.copy:
            yield f"  copy      {table.copy}"
        if table.contested:
            yield f"  contested {table.contested} records were changed by others each time: run it again"
        yield from _problem_lines(table)
        if table.verified is not None:
            yield from _verified_lines(table.verified)
        if table.restored or table.not_restored:
            yield f"  restored  {table.restored} records; {table.not_restored} were changed by others since, and left alone"
    if report.error:
        yield f"error: {report.error}"
    yield f"{report.run}: {report.outcome.value}"
    if report.advice:
        yield report.advice


def _problem_lines(table: TableReport) -> Iterator[str]:
    for line in table.problems[:SHOWN]:
        yield f"  record    {line}"
    if len(table.problems) > SHOWN:
        yield f"  record    and {len(table.problems) - SHOWN} more"


def _verified_lines(verified: Verified) -> Iterator[str]:
    is_same = "same checksum" if verified.checksum_before == verified.checksum_after else "another checksum, others wrote meanwhile"
    yield (
        f"  verified  {verified.records} records: {verified.untouched} untouched ({is_same}), {verified.changed} changed, "
        f"{verified.made} made, {verified.by_others} written by others, {verified.readable} readable"
    )
    for key in verified.wrong[:SHOWN]:
        yield f"  wrong     {key}"


def _table_json(table: TableReport) -> dict[str, Any]:
    verified = table.verified
    return {
        "table": table.table,
        "mended": table.mended,
        "left": table.left,
        "records": table.records,
        "toChange": table.to_change,
        "changed": table.done,
        "contested": table.contested,
        "unreadable": table.unreadable,
        "problems": table.problems,
        "copy": table.copy or None,
        "restored": table.restored,
        "notRestored": table.not_restored,
        "verified": None
        if verified is None
        else {
            "records": verified.records,
            "untouched": verified.untouched,
            "checksumBefore": verified.checksum_before,
            "checksumAfter": verified.checksum_after,
            "changed": verified.changed,
            "made": verified.made,
            "byOthers": verified.by_others,
            "readable": verified.readable,
            "wrong": verified.wrong,
        },
    }
