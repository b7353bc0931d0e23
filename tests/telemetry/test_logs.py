"""Log lines."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from telemetry import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def configured(level: str, *, as_json: bool) -> io.StringIO:
    stream = io.StringIO()
    logs.configure(level, as_json=as_json, stream=stream)
    return stream


@pytest.mark.req("S0-59")
def test_a_json_line_carries_event_level_time_and_bound_ids() -> None:
    stream = configured("INFO", as_json=True)
    with structlog.contextvars.bound_contextvars(connection="c1"):
        structlog.get_logger("x").info("session.closed", turns=3)

    line = json.loads(stream.getvalue())
    assert {key: line[key] for key in ("event", "level", "connection", "turns")} == {
        "event": "session.closed",
        "level": "info",
        "connection": "c1",
        "turns": 3,
    }
    assert line["timestamp"].endswith("Z")


def test_a_librarys_line_has_the_same_shape() -> None:
    stream = configured("INFO", as_json=True)
    logging.getLogger("some.library").warning("careful with %s", "this")

    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"]) == ("careful with this", "warning")


def test_an_exception_stays_on_its_line() -> None:
    stream = configured("INFO", as_json=True)
    try:
        int("broken")
    except ValueError:
        structlog.get_logger().exception("session.crashed")

    (text,) = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in json.loads(text)["exception"]


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.req("S0-59")
def test_an_exception_tells_where_it_was_raised_and_from_what_and_nothing_that_it_quotes(*, as_json: bool) -> None:
    stream = configured("INFO", as_json=as_json)
    try:
        json.loads("{")
    except ValueError as error:
        both = ExceptionGroup("two of them", [KeyError("Xylophone"), ValueError("no number: 'Xylophone'"), OSError(28, "No space left")])
        both.__cause__ = error
        structlog.get_logger().error("session.crashed", exc_info=both)

    text = stream.getvalue()
    told = (
        "JSONDecodeError",
        "which led to:",
        "ExceptionGroup: two of them",
        "KeyError: '...'",
        "no number: '...'",
        "No space left",
        "test_logs.py",
    )
    assert [word for word in told if word not in text] == []
    assert "Xylophone" not in text


def test_a_long_chain_of_exceptions_is_told_in_part() -> None:
    first: Exception = ValueError("0")
    for number in range(1, 50):
        error = ValueError(str(number))
        error.__cause__ = first
        first = error

    assert logs.told(first).count("ValueError") == logs.MAX_CHAIN


def test_the_console_shows_plain_text_without_colours_when_it_is_no_terminal() -> None:
    stream = configured("INFO", as_json=False)
    structlog.get_logger().info("server.started", port=8081)

    assert "server.started" in stream.getvalue()
    assert "port=8081" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_lines_below_the_level_are_left_out() -> None:
    stream = configured("WARNING", as_json=True)
    structlog.get_logger().info("frame.refused")

    assert stream.getvalue() == ""


@pytest.mark.parametrize("name", ["smithy_http.aio.crt", "aws_sdk_bedrock_runtime", "botocore.endpoint", "websockets.server", "asyncio"])
def test_libraries_that_log_contents_stay_quiet_even_with_debug(name: str) -> None:
    stream = configured("DEBUG", as_json=True)
    logging.getLogger(name).debug("the whole request")
    logging.getLogger(name).info("the whole answer")
    logging.getLogger(name).warning("something is wrong")

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["something is wrong"]


@pytest.mark.parametrize("said", ["12345678", "D'Angelo", 'a "b" c', 'D\'Angelo "Juan"', "a\nb", ""])
def test_what_a_message_quotes_stays_out_of_the_log(said: str) -> None:
    assert logs.without_quotes(f"There is no assistant {said!r}.") == "There is no assistant '...'."


def test_the_members_that_a_message_names_stay() -> None:
    assert logs.without_quotes('"seq" must be a whole number.') == '"seq" must be a whole number.'
