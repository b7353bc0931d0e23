"""Silence in the user's place covers their time without a gap, in short pieces while a turn may be open and in longer ones after that."""

import pytest

from session.silence import LONG_SILENCE_EVERY_SECONDS, LONG_SILENCE_SECONDS, SILENCE_AFTER_SECONDS, SILENCE_EVERY_SECONDS, Silence


def pieces(silence: Silence, until: float) -> list[tuple[float, float]]:
    """Return when silence is sent until then, and how much, as whoever is always in time sends it."""
    sent = []
    while (now := silence.due_at) <= until:
        sent.append((now, silence.take_ms(now)))
    return sent


def test_a_muted_client_is_covered_without_a_gap() -> None:
    silence = Silence()
    silence.begin(10.0)
    sent = pieces(silence, 70.0)

    assert sum(missing_ms for _, missing_ms in sent) == pytest.approx((sent[-1][0] - 10.0) * 1_000)


def test_pieces_are_short_until_no_turn_can_be_open_and_longer_then() -> None:
    silence = Silence()
    silence.begin(0.0)
    sent = pieces(silence, 60.0)
    soon = [missing_ms for at, missing_ms in sent[1:] if at <= LONG_SILENCE_SECONDS]
    late = [missing_ms for at, missing_ms in sent if at > LONG_SILENCE_SECONDS + LONG_SILENCE_EVERY_SECONDS]

    assert sent[0] == pytest.approx((SILENCE_AFTER_SECONDS, SILENCE_AFTER_SECONDS * 1_000))
    assert soon == pytest.approx([SILENCE_EVERY_SECONDS * 1_000] * len(soon))
    assert late == pytest.approx([LONG_SILENCE_EVERY_SECONDS * 1_000] * len(late))
    assert len(soon) > 20


def test_whoever_speaks_after_a_long_silence_gets_short_pieces_again() -> None:
    silence = Silence()
    silence.begin(0.0)
    pieces(silence, 30.0)
    silence.heard(31.0, 32.0)
    silence.microphone_closed()
    sent = pieces(silence, 31.95)

    assert [at for at, _ in sent] == pytest.approx([31.0 + number / 10 for number in range(1, 10)])
    assert [missing_ms for _, missing_ms in sent] == pytest.approx([100.0] * 9)
