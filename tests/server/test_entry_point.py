"""The entry point's own parts."""

import asyncio
import signal

import pytest

from bootstrap import Listening
from config import Settings
from server import announce, ends_first, parse_arguments
from transports.sockets import listen


@pytest.mark.req("S4-19")
def test_flags_are_off_unless_given() -> None:
    assert vars(parse_arguments([])) == {"debug": False, "local": False, "check": False}
    assert vars(parse_arguments(["--debug", "--local", "--check"])) == {"debug": True, "local": True, "check": True}


async def test_work_that_ends_before_any_signal_is_done() -> None:
    signals: asyncio.Queue[int] = asyncio.Queue()
    task = asyncio.create_task(asyncio.sleep(0, "outcome"))

    assert await ends_first(task, signals)
    assert task.result() == "outcome"


async def test_a_signal_cancels_the_work_and_waits_for_its_end() -> None:
    signals: asyncio.Queue[int] = asyncio.Queue()
    cleaned_up = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned_up.set()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    signals.put_nowait(signal.SIGTERM)

    assert not await ends_first(task, signals)
    assert cleaned_up.is_set()
    assert task.cancelled()


async def test_a_signal_that_comes_after_the_work_is_kept_for_the_next_wait() -> None:
    signals: asyncio.Queue[int] = asyncio.Queue()
    await ends_first(asyncio.create_task(asyncio.sleep(0)), signals)
    signals.put_nowait(signal.SIGINT)

    assert await signals.get() == signal.SIGINT


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "localhost"])
def test_the_address_of_the_page_can_be_opened_as_it_is_printed(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    listening = Listening(listen("127.0.0.1", 0), ())
    port = listening.port
    announce(Settings(host=host), listening)
    listening.close()

    assert f"open http://localhost:{port}/ " in capsys.readouterr().out
