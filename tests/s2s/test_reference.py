"""The page that is drawn from the tables."""

from scripts.render_protocol_reference import PAGE, render


def test_the_reference_of_the_protocol_is_current() -> None:
    assert render() == PAGE.read_text(encoding="utf-8"), "run python -m scripts.render_protocol_reference"
