"""Conversations of nearly right messages over a real connection: no crash, no close that blames ourselves, nothing left over."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from s2s.events import AudioOutput, ContentEnded, ContentStarted, ContentType, Role, Stage, StopReason, TextOutput
from tests.security.fuzzing import frames
from tests.security.tongues import TONGUES, Frame, Tongue
from tests.transports.doubles import Rig, ScriptedStream, running_server

pytestmark = [pytest.mark.req("S2-28", "S2-14", "S4-06", "S0-17")]

IDS = ("S", "internal", "K")
GOODBYES = ("close", "abort", "half")
LEFT_SECONDS = 10.0


def answer(stream: ScriptedStream) -> None:
    """Let the model say something."""
    stream.say(
        ContentStarted(*IDS, "T", ContentType.TEXT, Role.ASSISTANT, Stage.SPECULATIVE, None),
        TextOutput(*IDS, "T", Role.ASSISTANT, "Hello"),
        ContentEnded(*IDS, "T", ContentType.TEXT, StopReason.PARTIAL_TURN),
        ContentStarted(*IDS, "X", ContentType.AUDIO, Role.ASSISTANT, None, 24_000),
        AudioOutput(*IDS, "X", b"\2\2" * 480),
        ContentEnded(*IDS, "X", ContentType.AUDIO, StopReason.END_TURN),
    )


async def converse(rig: Rig, tongue: Tongue, sent: Sequence[Frame], goodbye: str) -> int | None:
    """Send everything, take what comes, and leave; return the close code."""
    protocols = [Subprotocol(name) for name in tongue.subprotocols] or None
    async with connect(f"ws://127.0.0.1:{rig.port}{tongue.path}", subprotocols=protocols, compression=None, max_queue=None) as socket:
        try:
            for place, frame in enumerate(sent):
                await socket.send(frame)
                for stream in rig.model.streams[-1:] if place % 3 == 0 else ():
                    answer(stream)
                await asyncio.sleep(0)
            if goodbye == "abort":
                socket.transport.abort()
            elif goodbye == "half":
                socket.transport.write_eof()
        except ConnectionClosed:
            pass
    return socket.close_code


def is_busy(rig: Rig) -> bool:
    """Return whether a session lives, or a connection is open."""
    counted = rig.counters.read()
    return rig.registry.live > 0 or counted.get("connection_opened") != counted.get("connection_closed")


async def left_over(rig: Rig) -> list[str]:
    """Return what is left of a conversation some time after it."""
    try:
        async with asyncio.timeout(LEFT_SECONDS):
            while is_busy(rig):  # noqa: ASYNC110 - nothing tells of a registry that has become empty
                await asyncio.sleep(0.002)
    except TimeoutError:
        return [f"{rig.registry.live} sessions", str(rig.counters.read())]
    return [f"stream {number}" for number, stream in enumerate(rig.model.streams) if not stream.is_closed]


async def play(tongue: Tongue, sent: Sequence[Frame], goodbye: str) -> tuple[int | None, list[str]]:
    """Hold one conversation; return its close code and what is left of it."""
    before = asyncio.all_tasks()
    async with running_server(resume_seconds=0.2) as rig:
        close_code = await converse(rig, tongue, sent, goodbye)
        left = await left_over(rig)
    return close_code, [*left, *(repr(task) for task in asyncio.all_tasks() - before)]


@pytest.mark.parametrize("tongue", TONGUES, ids=lambda tongue: tongue.name)
@settings(max_examples=80)
@given(data=st.data())
def test_no_conversation_is_taken_for_a_fault_of_ours_and_nothing_of_it_is_left(tongue: Tongue, data: st.DataObject) -> None:
    begins = [frame for frame in tongue.opening if data.draw(st.integers(0, 9))]
    sent = [*begins, *data.draw(st.lists(frames(tongue.valid), max_size=18))]
    with capture_logs() as logs:
        close_code, left = asyncio.run(play(tongue, sent, data.draw(st.sampled_from(GOODBYES))))

    assert [line for line in logs if line["event"] in ("connection.crashed", "session.crashed")] == []
    assert close_code != 1011
    assert left == []
