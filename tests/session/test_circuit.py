"""When newcomers are told at once that the model is away."""

import pytest

from session.circuit import AWAY_SECONDS, FAILURES, PROBE_SECONDS, Circuit


def away(failures: int = FAILURES) -> Circuit:
    """Return a circuit that saw so many failures, the last one at 0."""
    circuit = Circuit()
    for number in range(failures):
        circuit.failed("model_unreachable", AWAY_SECONDS * (number / max(failures - 1, 1) - 1))
    return circuit


def test_any_number_of_failures_of_one_moment_changes_nothing() -> None:
    circuit = Circuit()
    for number in range(100):
        circuit.failed("model_unreachable", number * AWAY_SECONDS / 101)

    assert not circuit.is_open


def test_a_few_failures_change_nothing() -> None:
    circuit = away(FAILURES - 1)

    assert not circuit.is_open
    assert all(circuit.lets_pass(0.0) for _ in range(100))


def test_while_nobody_answers_one_newcomer_a_second_tries() -> None:
    circuit = away()
    passed = [tick for tick in range(40) if circuit.lets_pass(tick / 10)]

    assert circuit.is_open
    assert passed == [10, 20, 30]
    assert PROBE_SECONDS == 1.0


def test_one_answer_lets_everybody_pass() -> None:
    circuit = away()
    circuit.answered()

    assert not circuit.is_open
    assert circuit.lets_pass(0.0)


@pytest.mark.parametrize("code", ["model_throttled", "model_access_denied", "model_lost"])
def test_a_refusal_is_an_answer(code: str) -> None:
    circuit = away()
    circuit.failed(code, 0.0)

    assert not circuit.is_open


def test_failures_count_in_a_row_alone() -> None:
    circuit = away(FAILURES - 1)
    circuit.answered()
    for _ in range(FAILURES - 1):
        circuit.failed("model_timeout_opening", 10.0)

    assert not circuit.is_open


def test_a_probe_that_fails_leaves_it_open() -> None:
    circuit = away()

    assert circuit.lets_pass(1.0)
    circuit.failed("model_timeout_opening", 3.8)
    assert circuit.is_open
    assert circuit.lets_pass(3.8)
    assert not circuit.lets_pass(3.9)
