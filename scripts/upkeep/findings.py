"""What a diagnosis finds, each with its cure, for people and for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class Weight(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTICE = "notice"
    """Worth knowing; conversations go on."""
    PROBLEM = "problem"
    """Something that people or the server want does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    part: str
    """What was looked at: connection, permissions, schema, records, file, bucket, topic, events."""
    weight: Weight
    line: str
    cure: str = ""


@dataclass(slots=True)
class TableFindings:
    """What was found of one table."""

    name: str
    setting: str
    """Variable that names it."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Status, keys, indexes, expiry, stream, billing, counts: as they are."""
    findings: list[Finding] = field(default_factory=list)


@dataclass(slots=True)
class Diagnosis:
    """Everything that was found."""

    place: str
    """Which store, where."""
    identity: str = ""
    """Who asks; empty where nobody was asked."""
    findings: list[Finding] = field(default_factory=list)
    tables: list[TableFindings] = field(default_factory=list)

    def all(self) -> Iterator[Finding]:
        """Yield every finding."""
        yield from self.findings
        for table in self.tables:
            yield from table.findings

    @property
    def exit_code(self) -> int:
        """0 when nothing is wrong, 1 when something needs its cure."""
        return int(any(finding.weight is Weight.PROBLEM for finding in self.all()))


_MARKS: Final = {Weight.OK: "ok     ", Weight.NOTICE: "notice ", Weight.PROBLEM: "PROBLEM"}


def as_text(diagnosis: Diagnosis) -> str:
    """Return a diagnosis for people."""
    return "\n".join(_lines(diagnosis))


def as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return a diagnosis for programs."""
    return {
        "place": diagnosis.place,
        "identity": diagnosis.identity or None,
        "exitCode": diagnosis.exit_code,
        "findings": _plain(diagnosis.findings),
        "tables": [
            {"name": table.name, "setting": table.setting, **table.facts, "findings": _plain(table.findings)} for table in diagnosis.tables
        ],
    }


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    yield diagnosis.place
    if diagnosis.identity:
        yield f"asking as {diagnosis.identity}"
    yield from _finding_lines(diagnosis.findings)
    for table in diagnosis.tables:
        yield f"{table.name} ({table.setting})"
        if table.facts:
            yield "  " + ", ".join(f"{name} {_short(value)}" for name, value in table.facts.items() if value not in (None, "", []))
        yield from _finding_lines(table.findings)
    found = list(diagnosis.all())
    counts = {weight: sum(finding.weight is weight for finding in found) for weight in Weight}
    yield f"problems: {counts[Weight.PROBLEM]}, notices: {counts[Weight.NOTICE]}, in order: {counts[Weight.OK]}"


def _finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"  {_MARKS[finding.weight]} {finding.part}: {finding.line}"
        if finding.cure:
            yield f"          cure: {finding.cure}"


def _plain(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [
        {"part": finding.part, "weight": finding.weight.value, "line": finding.line, "cure": finding.cure or None} for finding in findings
    ]


def _short(value: object) -> str:
    return " ".join(str(one) for one in value) if isinstance(value, list) else str(value)
