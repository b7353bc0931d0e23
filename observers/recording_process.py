"""The process that encodes recordings, for all conversations of one server: reads tasks and answers each with what came of it.

Run by the server as `python -m observers.recording_process FORMAT`. Encoding takes the interpreter a thousand times a second, and one core
for a few hundredths of the time: in a thread of the server's, both would come before the next piece of somebody's speech. Here the
interpreter is its own, and the core is what conversations leave.
"""

import os
import signal
import sys
from typing import Final

from observers.recording_encoders import Studio, choose_studio
from observers.recording_wire import LENGTH, Made, pack_made, read_task
from observers.recording_work import RecordingWork
from storage.recordings import RecordingFormat, RecordingState

NICE: Final = 10
"""A core that a conversation wants is given up at once, and on one that is always busy a tenth is left for recordings."""


class Room:
    """Where recordings are made, one task at a time.

    Args:
        studio: what they are made with.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._works: dict[int, RecordingWork] = {}

    def answer(self, message: bytes) -> bytes:
        """Do what a message asks for, and return the answer.

        Args:
            message: without its length.
        """
        task = read_task(message)
        for number in task.forgotten:
            self._works.pop(number, None)
        work = self._works.get(task.number)
        if work is None:
            work = self._works[task.number] = RecordingWork(task.rates, task.began, self._studio)
        reason = ""
        try:
            work.work(task)
        except Exception as error:  # noqa: BLE001 - the root of what is done for one recording
            reason, work.state = type(error).__name__, RecordingState.FAILED
        if work.state is not RecordingState.RUNNING:
            self._works.pop(task.number)
        return pack_made(Made(work.take(), work.state, work.head, work.figures(), reason))


def main(arguments: list[str]) -> int:
    """Answer until the server is gone; it alone says when this ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's goes to every process
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # likewise a service manager's
    os.nice(NICE)
    room = Room(choose_studio(RecordingFormat(arguments[0])))
    while len(head := sys.stdin.buffer.read(LENGTH.size)) == LENGTH.size:
        (size,) = LENGTH.unpack(head)
        sys.stdout.buffer.write(room.answer(sys.stdin.buffer.read(size)))
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
