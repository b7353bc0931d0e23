"""Sessions that outlive the connections of their clients.

An attachment is a session as its client sees it: what it was told and has not acknowledged, and what it has said. One connection at a time
holds it. When that one is lost the session goes on without a listener, until a client comes back with the token or the time is over.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog

from session.client_link import ClientLink
from session.errors import BadFrame, ResumeRefused, ServerLeaving
from session.events import GoingAway, SessionEnded, SessionEvent, SessionStarted, SpeechChunk, Start
from session.registry import SessionRegistry
from session.runner import SessionRunner
from telemetry.counters import Counters
from transports.dialects.binary import without_samples
from transports.dialects.interface import Acknowledge, Dialect, Frame, Resume
from transports.limits import NO_LIMITS, Limits
from transports.outbox import Outbox
from transports.tokens import handle_of, new_token

log = structlog.get_logger()

ACKNOWLEDGE_SECONDS: Final = 0.25
"""How often a client is told what has been taken: what it has to keep meanwhile is 8 KB of audio."""
BYTES_PER_SAMPLE: Final = 2
_COUNTER: Final = 1 << 32

type SendFrame = Callable[[Frame], Awaitable[bool]]
"""Sends a frame; False when the connection is gone."""


class Adopter(Protocol):
    """Finds sessions that other processes had."""

    async def adopt(self, handle: str, principal: str) -> SessionRunner | None:
        """Return the session that a client wants back, admitted and not running yet; None if there is none.

        Its `client` says who its client is and which of its frames were taken. Nobody is given the same session again.

        Args:
            handle: SHA-256 of the client's token, in hexadecimal.
            principal: who asks; a session of somebody else is none.
        """


class Holder(Protocol):
    """The connection that holds an attachment."""

    def give_up(self) -> None:
        """Let another connection have it, at once: tell nothing and take nothing any more."""


class Attachment:
    """One session as its client sees it.

    Args:
        runner: the session.
        running: its task.
        dialect: what its client speaks; goes with it from connection to connection.
        first: number of the next frame for the client.
        is_lasting: whether the client can come back.
    """

    def __init__(self, runner: SessionRunner, running: asyncio.Task[None], dialect: Dialect, first: int = 0, *, is_lasting: bool) -> None:
        self.runner = runner
        self.running = running
        self.dialect = dialect
        self.outbox = Outbox(first)
        self.is_lasting = is_lasting
        self.ended: SessionEnded | None = None
        """The session's last event, once it was told."""
        self.holder: Holder | None = None
        self.token = ""
        """What the client comes back with; kept only while the connection is open on which it was told."""
        self.former_handle = ""
        """Of the token before, as long as nothing shows that the client knows the present one."""
        self.taken = asyncio.Event()
        """Set when numbered frames of the client came since it was cleared."""
        self.expiry: asyncio.TimerHandle | None = None

    @property
    def undelivered_samples(self) -> int:
        """Of the speech of the latest turn, what was sent and not acknowledged."""
        return self.outbox.speech_bytes() // BYTES_PER_SAMPLE

    def withdraw_flushed(self) -> None:
        """Take out of what is kept the speech that nobody wants to hear any more."""
        self.outbox.withdraw(self.runner.flushed_turn, without_samples)

    @property
    def may_be_missed(self) -> bool:
        """Whether a client that comes back can still be told something."""
        return self.is_lasting and bool(self.runner.client.handle) and (not self.runner.is_over or self.outbox.next > self.outbox.first)

    def takes(self, number: int) -> bool:
        """Tell whether a frame of the client is new, and take note of it; a gap in the numbers is the client's own."""
        if not self.is_lasting:
            return True
        client = self.runner.client
        ahead = (number - client.upstream + _COUNTER // 2) % _COUNTER - _COUNTER // 2
        self.taken.set()
        client.upstream += max(0, ahead + 1)
        return ahead >= 0

    def acknowledge(self, number: int) -> None:
        """Forget what has arrived.

        Raises:
            BadFrame: so much was never sent.
        """
        if number > self.outbox.next:
            raise BadFrame('"seq" is beyond what was sent.')
        self.outbox.acknowledge(number)

    async def deliver(self, send: SendFrame, number: int, new_token: Callable[[], str]) -> None:
        """Send everything from this number on, until the session has ended or the connection that a client can replace is gone.

        May be cancelled: what was not sent then is kept.

        Args:
            send: sends a frame.
            number: of the first frame.
            new_token: gives what the client comes back with.
        """
        while True:
            while (frame := self.outbox.get(number)) is not None:
                number += 1
                is_sent = await send(frame)
                if self.is_lasting and not is_sent:
                    return
                if not self.is_lasting:
                    self.outbox.acknowledge(number)
            event = await self.runner.next_event()
            if event is None:
                return
            if self.is_lasting and isinstance(event, SessionStarted) and not self.token:
                self.token = new_token()
            self._keep(event)

    async def tell_taken(self, send: SendFrame) -> None:
        """Tell the client now and then what of it was taken, until this is cancelled."""
        while True:
            await self.taken.wait()
            self.taken.clear()
            for frame in self.dialect.answer(Acknowledge(self.runner.client.upstream)):
                await send(frame)
            await asyncio.sleep(ACKNOWLEDGE_SECONDS)

    def _keep(self, event: SessionEvent) -> None:
        match event:
            case SpeechChunk(turn, pcm):
                for frame in self.dialect.encode(event):
                    self.outbox.put(frame, turn, len(pcm))
                return
            case SessionStarted() | GoingAway():
                frames = self.dialect.encode(event, self.token)
            case _:
                frames = self.dialect.encode(event)
        for frame in frames:
            self.outbox.put(frame)
        if isinstance(event, SessionEnded):
            self.ended = event


class Attachments:
    """Which session a token leads to.

    Args:
        registry: admits and runs sessions.
        counters: gets `client_*`.
        resume_seconds: how long a session waits for its client; 0 ends it with the connection.
        adopter: finds what is not here.
        limits: how many sessions one client may have.
    """

    def __init__(
        self,
        registry: SessionRegistry,
        counters: Counters,
        resume_seconds: float = 0.0,
        adopter: Adopter | None = None,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self.resume_seconds = resume_seconds
        self._registry = registry
        self._counters = counters
        self._adopter = adopter
        self._limits = limits
        self._by_handle: dict[str, Attachment] = {}

    def begin(self, start: Start, dialect: Dialect, principal: str, caller: str = "", *, is_lasting: bool) -> Attachment:
        """Admit a session and run it.

        Args:
            start: what the client wants.
            dialect: what it speaks.
            principal: who it is; empty for anybody.
            caller: whom its attempts are counted for.
            is_lasting: whether it can come back.

        Raises:
            SessionError: it is not admitted.
        """
        self._limits.check_sessions(ClientLink(principal, caller), self._registry.clients())
        runner = self._registry.open(start)
        runner.client.principal, runner.client.caller, runner.client.input_hertz = principal, caller, start.input_hertz
        lasts = is_lasting and self.resume_seconds > 0
        dialect.begin(resume_seconds=self.resume_seconds)
        return Attachment(runner, self._registry.launch(runner), dialect, is_lasting=lasts)

    async def resume(self, wanted: Resume, dialect: Dialect, principal: str) -> tuple[Attachment, bool]:
        """Return the session that a client wants back, taken from whoever holds it, and whether another process had it.

        The token that was used is spent; give the client a new one.

        Raises:
            ResumeRefused: there is no such session for this client, or what it lacks is not kept any more.
            ServerLeaving: another process has the session, or will have it in a moment.
            ServerBusy: all places are taken, or other processes' sessions cannot be looked up now.
        """
        if self._registry.is_leaving:  # another process has the session, or will in a moment
            raise ServerLeaving
        handle = handle_of(wanted.token)
        attachment = self._by_handle.get(handle)
        is_adopted = attachment is None
        if attachment is None:
            attachment = await self._adopt(handle, wanted, dialect, principal)
        if attachment is None or attachment.runner.client.principal != principal or not attachment.outbox.has(wanted.wanted):
            self._counters.add("client_refused")
            raise ResumeRefused
        if attachment.holder is not None:
            self._counters.add("client_replaced")
            attachment.holder.give_up()
            self._pause(attachment)
        self._forget_handles(attachment)
        attachment.former_handle = handle
        attachment.acknowledge(wanted.wanted)
        attachment.withdraw_flushed()
        self._counters.add("client_resumed")
        log.info("client.resumed", session_id=attachment.runner.session_id, adopted=is_adopted)
        return attachment, is_adopted

    def new_token(self, attachment: Attachment) -> str:
        """Return what the client comes back with from now on."""
        token = new_token()
        self._by_handle.pop(attachment.runner.client.handle, None)
        attachment.runner.client.found_by(handle_of(token))
        self._by_handle[attachment.runner.client.handle] = attachment
        return token

    def confirm(self, attachment: Attachment) -> None:
        """Take note that the client said something on its present connection: it knows the present token."""
        attachment.former_handle = ""

    def lose(self, attachment: Attachment) -> None:
        """Let the session go on without its connection, if its client can come back; else it is to be ended."""
        attachment.holder, attachment.token = None, ""
        if attachment.former_handle:
            self._by_handle[attachment.former_handle] = attachment
        self._pause(attachment)
        attachment.expiry = asyncio.get_running_loop().call_later(self.resume_seconds, self.forget, attachment)
        self._counters.add("client_lost")
        log.info("client.lost", session_id=attachment.runner.session_id)

    def forget(self, attachment: Attachment) -> None:
        """Let nobody come back to this session any more."""
        attachment.holder, attachment.token = None, ""
        self._forget_handles(attachment)

    def _pause(self, attachment: Attachment) -> None:
        attachment.withdraw_flushed()
        attachment.runner.client_lost(self.resume_seconds, attachment.undelivered_samples)

    def _forget_handles(self, attachment: Attachment) -> None:
        if attachment.expiry is not None:
            attachment.expiry.cancel()
            attachment.expiry = None
        for handle in (attachment.runner.client.handle, attachment.former_handle):
            self._by_handle.pop(handle, None)
        attachment.runner.client.handle = attachment.former_handle = ""

    async def _adopt(self, handle: str, wanted: Resume, dialect: Dialect, principal: str) -> Attachment | None:
        runner = await self._adopter.adopt(handle, principal) if self._adopter is not None and self.resume_seconds > 0 else None
        if runner is None:
            return None
        dialect.begin(wanted.wanted, resume_seconds=self.resume_seconds)
        return Attachment(runner, self._registry.launch(runner), dialect, wanted.wanted, is_lasting=True)
