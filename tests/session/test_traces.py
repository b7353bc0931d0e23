"""Recorded sessions run again with the same effects; a session that went wrong becomes a test by copying its trace into traces/.

After a change of behaviour that is meant: `python -m bench.replay --accept tests/session/traces/*.jsonl.gz`
(docs/how-to/record-and-replay-a-session.md).
"""

from pathlib import Path

import pytest

from bench.replay import Replay, read_lines

FOLDER = Path(__file__).with_name("traces")
TRACES = sorted(FOLDER.glob("*.jsonl*"))
LARGEST_BYTES = 30_000
ACCEPT = "python -m bench.replay --accept tests/session/traces/*.jsonl.gz"


def replay(path: Path) -> Replay:
    again = Replay(read_lines(path))
    again.run()
    return again


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
def test_a_recorded_session_runs_again_with_the_same_effects(path: Path) -> None:
    again = replay(path)

    assert again.first is None, f"{again.figures.differences} inputs differ (if that is meant: {ACCEPT}), the first {again.first}"
    assert again.figures.effects > 0


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
def test_a_trace_that_is_kept_is_small_and_masked(path: Path) -> None:
    assert path.stat().st_size < LARGEST_BYTES
    assert replay(path).is_masked


@pytest.mark.parametrize(
    ("name", "shows"),
    [
        ("typed-conversation-with-tools", ['"SendText"', '"ToolFinished"', '"end"']),
        ("barge-in", ['"UserSpeechStart"', '"Interrupted"', '"end"']),
        ("stream-lost-with-a-tool-running", ['"StartTool"', '"StreamFailed"', '"SessionContinued","resumed"', '"ToolFinished"', '"end"']),
        ("planned-continuation", ['"StreamOpened",1', '"OpenStream",2', '"SessionContinued","renewed"', '"SpeechEnded"', '"end"']),
    ],
)
def test_the_traces_show_what_they_are_named_for(name: str, shows: list[str]) -> None:
    text = b"".join(read_lines(FOLDER / f"{name}.jsonl.gz")).decode()
    missing: list[str] = []
    for each in shows:
        before, found, text = text.partition(each)
        missing += [] if found else [f"{each} after {before[-80:]}"]

    assert missing == []
