"""Lets a brain, which lives as long as a stream of speech, answer a conversation that comes whole with every request.

The brain goes through the turns again: what it says in the earlier ones is dropped, and the tools that it calls get the results that the
conversation holds. What it says and calls after the last of them is the answer. So nothing is kept between two requests. A brain that can
be told what was said is told, and goes through the last turn alone.
"""

import asyncio
from collections.abc import Mapping, Sequence

from nova_sonic_local.brains.interface import Brain, PastTurn, Recalling, ToolAnswer, UserTurn
from nova_sonic_local.cascade.writing import Writing

_LAST_WORD = "OK."


async def recite(brain: Brain, turns: Sequence[PastTurn], writing: Writing) -> None:
    """Have a brain answer the last turn."""
    if isinstance(brain, Recalling):
        brain.recall(turns)
        await _hear(brain, UserTurn(len(turns), turns[-1].text), _Recital((), writing))
        return
    for number, turn in enumerate(turns, 1):
        reply = _Recital(turn.answers, writing if number == len(turns) else None)
        await _hear(brain, UserTurn(number, turn.text), reply)
        if number == len(turns) and not reply.has_answered:
            await writing.say(reply.last_words or _LAST_WORD)
        await asyncio.sleep(0)  # a long conversation must not hold up the others


async def _hear(brain: Brain, turn: UserTurn, reply: "_Recital") -> None:
    """Let the brain answer until it is done, or has nothing more to do in this request."""
    answering = asyncio.create_task(brain.answer(turn, reply))
    waiting = asyncio.create_task(reply.stopped.wait())
    try:
        await asyncio.wait((answering, waiting), return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            answering.result()
    finally:
        for task in (answering, waiting):
            task.cancel()
        await asyncio.gather(answering, waiting, return_exceptions=True)


class _Recital:
    """What a brain can do in one turn.

    Args:
        answers: of the tools, as far as the conversation has them.
        writing: takes what is new; None in a turn that is long over.
    """

    def __init__(self, answers: Sequence[ToolAnswer], writing: Writing | None) -> None:
        self.stopped = asyncio.Event()
        """Set when nothing more is wanted of the brain in this turn."""
        self.has_answered = False
        self.last_words = ""
        """What was said last before the answer proper."""
        self._answers = list(answers)
        self._writing = writing

    async def say(self, text: str) -> None:
        """Say something: new, when all results that there are have been told."""
        if self._writing is None or self._answers:
            self.last_words = text
            return
        self.has_answered = True
        await self._writing.say(text)
        if self._writing.stop_reason:
            await self._stop()

    async def play(self, pcm: bytes, text: str = "") -> None:  # noqa: ARG002 -- of Reply
        """Say the text of ready-made speech."""
        await self.say(text)

    async def call_tools(self, calls: Sequence[tuple[str, Mapping[str, object] | str]]) -> list[Mapping[str, object]]:
        """Return the results that the conversation has, or ask for them and wait for another request."""
        if len(calls) > len(self._answers):
            if self._writing is not None:
                self.has_answered = True
                await self._writing.call(calls)
            await self._stop()
        return [self._take(name) for name, _arguments in calls]

    def _take(self, name: str) -> Mapping[str, object]:
        """Return the next result of a tool; of another one, when the brain has changed its mind since."""
        chosen = next((answer for answer in self._answers if answer.name == name), self._answers[0])
        self._answers.remove(chosen)
        return chosen.result

    async def _stop(self) -> None:
        """Wait to be cancelled, as by an interruption."""
        self.stopped.set()
        await asyncio.get_running_loop().create_future()
