"""The catalogue of failures, against the texts that were seen."""

import json
from pathlib import Path
from typing import Any

import pytest

from s2s.errors import Remedy
from s2s.failures import DETAIL_CHARACTERS, classify

LINES = (Path(__file__).parent.parent / "vectors" / "s2s_failures.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("row", [pytest.param(row, id=row["name"]) for row in map(json.loads, LINES)])
def test_a_failure_has_the_code_and_remedy_of_the_vector(row: dict[str, Any]) -> None:
    error = classify(row["exception"], row["message"], row["status"])

    assert (row["code"], Remedy[row["remedy"]]) == (error.code, error.remedy)


def test_the_services_words_are_kept_for_the_log_within_bounds() -> None:
    error = classify("ValidationException", "Something new " * 1000)

    assert error.detail.startswith("ValidationException: Something new")
    assert len(error.detail) == DETAIL_CHARACTERS
