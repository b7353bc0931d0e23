"""Who may come back to a session: once with each token, in time, and nobody else."""

import asyncio
import json
from typing import Any

import pytest

from bench.resumable_client import ResumableClient, ResumeRefused
from session.errors import ResumeRefused as Refused
from session.events import End, Start
from session.runner import SessionRunner
from telemetry.counters import Counters
from tests.transports.coming_back.caller import GRACE, eventually, numbers_of, piece, speech, started
from tests.transports.doubles import Rig, ScriptedModel, registry_of, running_server
from transports.attachments import Attachments
from transports.dialects.binary import BinaryDialect
from transports.dialects.interface import Resume
from transports.tokens import handle_of, new_token

pytestmark = [pytest.mark.req("S4-12")]


async def say_hello(client: ResumableClient) -> None:
    """Begin anew on the connection that the client has."""
    client.received.next = 0
    await client.send({"type": "hello", "protocol": 1})
    await client.until_told("session.started", 2)


def test_tokens_are_long_and_never_the_same() -> None:
    tokens = {new_token() for _ in range(1_000)}

    assert len(tokens) == 1_000
    assert {len(token) for token in tokens} == {43}
    assert len(handle_of(tokens.pop())) == 64


async def test_each_return_gives_another_token_and_spends_the_one_before() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, _ = await started(rig)
        first = client.token
        await client.cut()
        await client.resume()
        second = client.token
        await client.send_audio(piece(1))
        await client.until_acknowledged()

        assert first != second
        async with ResumableClient(rig.address) as thief:
            with pytest.raises(ResumeRefused, match="resume_refused"):
                await thief.resume(first, 0)
        await client.cut()
        with pytest.raises(ResumeRefused):
            await client.resume(first)
        await client.resume(second)
        await client.cut()


async def test_a_token_that_was_used_is_refused_also_before_its_successor_is_known_to_have_arrived() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, _ = await started(rig)
        first = client.token
        await client.cut()
        await client.resume()
        async with ResumableClient(rig.address) as thief:
            with pytest.raises(ResumeRefused):
                await thief.resume(first, 0)
        await client.cut()


async def test_an_answer_that_never_arrived_leaves_the_token_as_it_was() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, _ = await started(rig)
        first = client.token
        await client.cut()
        await client.resume()
        await client.cut()  # before anything was said on this connection
        second = client.token

        await client.resume(first)
        await client.cut()
        await client.resume(first)
        await client.cut()
        with pytest.raises(ResumeRefused):
            await client.resume(second)
        await client.cut()


async def test_a_refused_client_can_begin_anew_on_the_same_connection() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, _ = await started(rig)
        await client.cut()
        with pytest.raises(ResumeRefused, match="resume_refused"):
            await client.resume("unknown")
        await say_hello(client)

        assert rig.registry.live == 2
        await client.cut()


@pytest.mark.parametrize("ahead", [1, 1_000_000])
async def test_a_number_that_was_never_sent_is_refused_and_costs_nothing(ahead: int) -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        await client.cut()
        with pytest.raises(ResumeRefused):
            await client.resume(number=client.received.next + ahead)
        await client.cut()

        await client.resume()
        assert not stream.is_closed
        await client.cut()


async def test_what_was_acknowledged_is_not_had_again() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        stream.say(*speech(*range(1, 11)))
        await client.until_told("speech.ended")
        await asyncio.sleep(1.0)
        await client.cut()
        with pytest.raises(ResumeRefused):
            await client.resume(number=0)
        await client.cut()


async def test_another_connection_takes_over_one_that_is_still_open() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        stream.say(*speech(*range(1, 21)))
        await asyncio.sleep(1.0)
        old, heard = client, client.received
        new = ResumableClient(rig.address)
        new.received, new.token = heard, old.token
        old.received = type(heard)(next=heard.next)
        await new.resume()
        code = await old.until_closed()
        await new.until_told("speech.ended")

        assert code == 4409
        assert numbers_of(new.received.pcm(), 2_400) == list(range(1, 21))
        assert rig.counters.read()["client_replaced"] == 1
        assert rig.registry.live == 1
        await new.cut()


async def test_what_the_replaced_connection_still_says_is_not_heard() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        old, stream = await started(rig)
        await old.send_audio(piece(1))
        await old.until_acknowledged()
        new = ResumableClient(rig.address)
        new.token, new.received.next = old.token, old.received.next
        resumed, *_ = await asyncio.gather(new.resume(), *(old.send_audio(piece(100 + number)) for number in range(20)))
        assert resumed is not None
        new.sent = resumed["seq"]
        await new.send_audio(piece(2))
        await new.until_acknowledged()
        await old.until_closed()
        said = numbers_of(stream.pcm, 512)

        assert len(said) == len(set(said))
        assert (said[0], said[-1]) == (1, 2)
        await new.cut()


async def test_of_two_that_come_with_one_token_one_is_refused() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, _ = await started(rig)
        await client.cut()
        others = [ResumableClient(rig.address) for _ in range(4)]
        outcomes = await asyncio.gather(*(other.resume(client.token, client.received.next) for other in others), return_exceptions=True)

        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ResumeRefused"] * 3 + ["dict"]
        for other in others:
            await other.cut()


async def test_a_flood_of_refused_tokens_is_shut_out() -> None:
    async with running_server(resume_seconds=GRACE) as rig, ResumableClient(rig.address) as client:
        await client.connect()
        for number in range(40):
            await client.send({"type": "resume", "protocol": 1, "token": f"guess-{number}", "seq": 0})
        code = await client.until_closed()

        assert code == 1008
        assert [answer["code"] for answer in client.answers] == ["resume_refused"] * 20


async def test_a_resume_in_a_running_session_is_refused() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        await client.send({"type": "resume", "protocol": 1, "token": client.token, "seq": 0})
        await client.until(lambda: bool(client.answers))

        assert [answer["code"] for answer in client.answers] == ["wrong_order"]
        assert not stream.is_closed
        await client.cut()


async def test_an_acknowledgement_of_what_was_never_sent_is_refused() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        await client.send({"type": "ack", "seq": 4_000_000_000})
        await client.until(lambda: bool(client.answers))

        assert [answer["code"] for answer in client.answers] == ["bad_frame"]
        stream.say(*speech(1))
        await client.until_told("speech.ended")
        await client.cut()


@pytest.mark.parametrize(
    "message",
    [
        {"type": "resume", "protocol": 1, "token": ["x"], "seq": 0},
        {"type": "resume", "protocol": 1, "token": "x" * 30_000, "seq": 0},
        {"type": "resume", "protocol": 1, "token": "x", "seq": "0"},
        {"type": "resume", "protocol": 1, "token": "x", "seq": -1},
        {"type": "ack", "seq": None},
    ],
)
async def test_a_malformed_message_is_refused_and_the_connection_goes_on(message: dict[str, Any]) -> None:
    async with running_server(resume_seconds=GRACE) as rig, ResumableClient(rig.address) as client:
        await client.connect()
        await client.send(message)
        await client.send({"type": "ping", "t": 1})
        await client.until(lambda: any(answer["type"] == "pong" for answer in client.answers))

        assert client.answers[0]["type"] == "error"


async def test_a_number_from_far_ahead_harms_nobody_but_its_sender() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        client.sent = 2**31 - 5
        await client.send({"type": "text", "text": "Far", "seq": client.sent})
        await client.send({"type": "text", "text": "Before", "seq": 3})
        await client.send({"type": "text", "text": "Next", "seq": client.sent + 1})
        await eventually(lambda: len(stream.texts) == 2)

        assert stream.texts == ["Far", "Next"]
        await client.cut()


class Shelf:
    """An adopter with one session, if any."""

    def __init__(self, rig: list[Rig], handle: str, principal: str = "") -> None:
        self._rig = rig
        self._handle = handle
        self._principal = principal
        self.asked: list[str] = []

    async def adopt(self, handle: str, principal: str) -> SessionRunner | None:
        """Give the session to who has its token."""
        self.asked.append(handle)
        if (handle, principal) != (self._handle, self._principal):
            return None
        self._handle = ""
        runner = self._rig[0].registry.open(Start())
        runner.client.principal, runner.client.upstream = principal, 40
        return runner


async def test_a_session_of_another_process_is_adopted_once_and_its_numbers_go_on() -> None:
    rigs: list[Rig] = []
    shelf = Shelf(rigs, handle_of("token-of-another-process"))
    async with running_server(resume_seconds=GRACE, adopter=shelf) as rig, ResumableClient(rig.address) as client:
        rigs.append(rig)
        client.received.next, client.sent = 17, 45
        client.kept.extend((number, json.dumps({"type": "text", "text": str(number), "seq": number})) for number in range(38, 45))
        resumed = await client.resume("token-of-another-process")
        stream = await rig.model.stream()
        await eventually(lambda: len(stream.texts) == 5)
        first = (client.received.messages or [{}])[0]

        assert (resumed["adopted"], resumed["seq"]) == (True, 40)
        assert stream.texts == ["40", "41", "42", "43", "44"]
        assert first["seq"] == 17
        await client.cut()
        with pytest.raises(ResumeRefused):
            await client.resume("token-of-somebody-else")
        await client.cut()
        assert not (await client.resume())["adopted"]
        assert shelf.asked == [handle_of("token-of-another-process"), handle_of("token-of-somebody-else")]
        await client.cut()


async def test_a_session_is_given_to_nobody_but_its_principal() -> None:
    registry = registry_of(ScriptedModel())
    attachments = Attachments(registry, Counters(), GRACE)
    attachment = attachments.begin(Start(), BinaryDialect(lambda: 0), "ana", is_lasting=True)
    token = attachments.new_token(attachment)
    attachments.lose(attachment)
    for stranger in ("", "bob"):
        with pytest.raises(Refused):
            await attachments.resume(Resume(token, 0), BinaryDialect(lambda: 0), stranger)
    found, is_adopted = await attachments.resume(Resume(token, 0), BinaryDialect(lambda: 0), "ana")

    assert found is attachment
    assert not is_adopted
    assert attachment.runner.client.principal == "ana"
    await attachment.runner.submit(End())
    await registry.close()


async def test_of_a_token_its_hash_alone_is_kept() -> None:
    registry = registry_of(ScriptedModel())
    attachments = Attachments(registry, Counters(), GRACE)
    attachment = attachments.begin(Start(), BinaryDialect(lambda: 0), "", is_lasting=True)
    token = attachments.new_token(attachment)
    attachments.lose(attachment)

    assert attachment.runner.client.handle == handle_of(token)
    assert token not in repr([vars(attachment), vars(attachments)])
    await registry.close()
