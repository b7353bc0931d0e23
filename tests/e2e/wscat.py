"""wscat in a terminal: lines are typed, and what the server sends is read off the screen."""

import asyncio
import json
import os
import pty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests import needs

CONNECTED = b"Connected (press CTRL+C to quit)"
INCOMING = b"\x1b[3D< "
"""wscat clears its prompt before it prints a message."""
COLOUR_OFF = b"\x1b[39m"
ANSWER_SECONDS = 20.0
LINE_BYTES = 1 << 20

type Message = dict[str, Any]


class Wscat:
    """A person who talks to the server by hand.

    Args:
        screen: what the terminal shows.
        keyboard: descriptor to type into.
    """

    def __init__(self, screen: asyncio.StreamReader, keyboard: int) -> None:
        self.messages: list[Message] = []
        """What was on the screen so far."""
        self._screen = screen
        self._keyboard = keyboard

    async def type(self, *lines: str) -> None:
        """Type lines."""
        for line in lines:
            await asyncio.to_thread(os.write, self._keyboard, f"{line}\n".encode())

    async def until(self, wanted: Callable[[Message], object]) -> Message:
        """Read until a message is wanted, and return it.

        Raises:
            TimeoutError: none was.
        """
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                line = await self._screen.readline()
                _, is_message, text = line.partition(INCOMING)
                if is_message:
                    self.messages.append(json.loads(text.replace(COLOUR_OFF, b"")))
                    if wanted(self.messages[-1]):
                        return self.messages[-1]

    async def until_connected(self) -> None:
        """Wait for the prompt: what is typed before is lost."""
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._screen.readuntil(CONNECTED)


@asynccontextmanager
async def wscat(url: str, *arguments: str) -> AsyncIterator[Wscat]:
    """Connect for the length of the block."""
    terminal, program_side = pty.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *(str(needs.node()), str(needs.wscat()), "--no-color", *arguments, "-c", url),
            stdin=program_side,
            stdout=program_side,
            stderr=program_side,
            env={**os.environ, "TERM": "dumb"},
        )
    finally:
        os.close(program_side)
    screen = asyncio.StreamReader(limit=LINE_BYTES)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(screen), os.fdopen(terminal, "rb", 0))
    try:
        cat = Wscat(screen, terminal)
        await cat.until_connected()
        yield cat
    finally:
        process.kill()
        await process.wait()
        transport.close()
