"""A client loses its connection and comes back: nothing is lost either way, nothing comes twice."""

import asyncio
import itertools

import pytest

from bench.resumable_client import ResumableClient, ResumeRefused
from s2s.events import AudioInput, TextInput, UserSpeechEnd, UserSpeechStart
from tests.transports.coming_back.caller import GRACE, eventually, numbers_of, piece, speech, started
from tests.transports.doubles import denied, running_server

pytestmark = [pytest.mark.req("S4-12", "S4-76")]


async def test_a_session_that_can_be_resumed_says_so() -> None:
    async with running_server(resume_seconds=GRACE) as rig, ResumableClient(rig.address) as client:
        message = await client.start()

        assert message["seq"] == 0
        assert message["resume_seconds"] == GRACE
        assert len(message["resume_token"]) == 43


@pytest.mark.parametrize(("hello", "grace"), [({"resume": False}, GRACE), ({}, 0.0)])
async def test_a_session_that_cannot_be_resumed_ends_with_its_connection(hello: dict[str, object], grace: float) -> None:
    async with running_server(resume_seconds=grace) as rig, ResumableClient(rig.address, hello) as client:
        message = await client.start()
        stream = await rig.model.stream()
        await client.cut()
        await eventually(lambda: rig.registry.live == 0)

        assert "resume_token" not in message
        assert stream.is_closed
        with pytest.raises(ResumeRefused, match="resume_refused"):
            await client.resume()


async def test_every_piece_of_the_microphone_arrives_once_and_in_order() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        for number in range(1, 400):
            await client.send_audio(piece(number))
            if number % 57 == 0:
                await client.cut()
            elif number % 57 == 20 and number > 57:
                await client.resume()
            await asyncio.sleep(0.032)
        await client.resume()
        await client.until_acknowledged()

        assert numbers_of(stream.pcm, 512) == list(range(1, 400))
        await client.cut()


async def test_what_was_taken_and_not_acknowledged_is_not_taken_twice() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        for text in ("One", "Two"):
            await client.send_numbered({"type": "text", "text": text})
        await stream.wait_for(TextInput, 2)
        await client.cut()
        resumed = await client.resume()
        await client.send({"type": "text", "text": "Two", "seq": 1})
        await client.send_numbered({"type": "text", "text": "Three"})
        await stream.wait_for(TextInput, 3)

        assert resumed["seq"] == 2
        assert stream.texts == ["One", "Two", "Three"]
        assert rig.counters.read()["frame_repeated"] == 1
        await client.cut()


async def test_all_speech_arrives_once_and_in_order() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        stream.say(*speech(*range(1, 101)))
        for _ in range(6):
            await asyncio.sleep(1.0)
            await client.cut()
            await asyncio.sleep(2.0)
            await client.resume()
        await client.until_told("speech.ended")

        assert numbers_of(client.received.pcm(), 2_400) == list(range(1, 101))
        assert client.received.missing == 0
        offsets = [frame.offset for frame in client.received.speech]
        assert offsets == list(itertools.accumulate((len(frame.pcm) // 2 for frame in client.received.speech), initial=0))[:-1]
        await client.cut()


async def test_what_is_told_while_the_client_is_away_waits_for_it() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        await client.cut()
        stream.say(*speech(1, 2, 3))
        await asyncio.sleep(20)

        assert client.received.speech == []
        resumed_at = asyncio.get_running_loop().time()
        resumed = await client.resume()
        await client.until_told("speech.ended")
        assert (resumed["seq"], resumed["adopted"]) == (0, False)
        assert numbers_of(client.received.pcm(), 2_400) == [1, 2, 3]
        assert client.received.speech[-1].at - resumed_at < 0.1
        await client.cut()


async def test_speech_goes_on_at_the_pace_of_a_listener_who_heard_nothing_meanwhile() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        stream.say(*speech(*range(1, 51)))
        await asyncio.sleep(1.0)
        await client.cut()
        before = len(client.received.pcm()) // 4_800
        await asyncio.sleep(10.0)
        await client.resume()
        resumed_at = asyncio.get_running_loop().time()
        await client.until_told("speech.ended")
        last_at = client.received.speech[-1].at

        assert 10 <= before <= 14
        assert last_at - resumed_at == pytest.approx((50 - before) / 10 - 0.3, abs=0.15)
        assert numbers_of(client.received.pcm(), 2_400) == list(range(1, 51))
        await client.cut()


async def test_the_model_hears_silence_while_the_client_is_away() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        await client.send_audio(piece(1))
        await stream.wait_for(AudioInput)
        await client.cut()
        before = sum(len(event.pcm) for event in stream.sent if isinstance(event, AudioInput))
        await asyncio.sleep(10)
        after = sum(len(event.pcm) for event in stream.sent if isinstance(event, AudioInput))

        assert (after - before) / 32_000 == pytest.approx(10, abs=0.2)
        assert stream.pcm == piece(1)


async def test_nobody_who_comes_back_ends_the_session_when_the_time_is_over() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        lost_at = asyncio.get_running_loop().time()
        await client.cut()
        await eventually(lambda: rig.registry.live == 0)

        assert asyncio.get_running_loop().time() - lost_at == pytest.approx(GRACE, abs=0.1)
        assert stream.is_closed
        with pytest.raises(ResumeRefused):
            await client.resume()
        await client.cut()


async def test_each_loss_gives_the_whole_time_again() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        for _ in range(3):
            await client.cut()
            await asyncio.sleep(GRACE - 1)
            await client.resume()

        assert not stream.is_closed
        await client.cut()


@pytest.mark.parametrize("code", [1000, 1001])
async def test_a_client_that_closes_in_order_ends_its_session(code: int) -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, _ = await started(rig)
        before = asyncio.get_running_loop().time()
        await client.close(code)
        await eventually(lambda: rig.registry.live == 0)

        assert asyncio.get_running_loop().time() - before < 1
        with pytest.raises(ResumeRefused):
            await client.resume()
        await client.cut()


async def test_a_client_that_closes_with_4000_can_come_back() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, _ = await started(rig)
        await client.close(4000)

        assert not (await client.resume())["adopted"]
        await client.cut()


async def test_a_session_that_ends_while_its_client_is_away_tells_it_when_it_comes() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        await client.cut()
        stream.say(denied())
        await eventually(lambda: rig.registry.live == 0)
        await client.resume()
        ended = await client.until_told("session.ended")

        assert [message["code"] for message in client.received.named("error")] == ["model_refused"]
        assert ended["reason"] == "failed"
        await client.cut()


async def test_an_interruption_while_away_takes_back_what_did_not_arrive() -> None:
    async with running_server(resume_seconds=GRACE) as rig, ResumableClient(rig.address, acknowledges=False) as client:
        await client.start()
        stream = await rig.model.stream()
        stream.say(*speech(*range(1, 21)))
        await asyncio.sleep(1.0)
        await client.cut()
        client.received.next = 3  # as if the last second had never arrived
        client.received.speech.clear()
        await eventually(lambda: rig.counters.read().get("client_lost") == 1)
        stream.say(UserSpeechStart("S", "internal", 0))
        await asyncio.sleep(5.0)
        await client.resume()
        interrupted = await client.until_told("interrupted")

        assert len(client.received.speech) > 10
        assert {frame.pcm for frame in client.received.speech} == {b""}
        assert interrupted["heard_ms"] == 0  # as far as was acknowledged
        assert client.received.missing == 0


async def test_speech_after_an_interruption_while_away_is_heard_whole() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        stream.say(*speech(*range(1, 21)))
        await asyncio.sleep(0.5)
        await client.cut()
        heard = len(client.received.speech)
        stream.say(UserSpeechStart("S", "internal", 0), UserSpeechEnd("S", "internal", 1, 2), *speech(101, 102, 103))
        await asyncio.sleep(1.0)
        await client.resume()
        await client.until_told("speech.ended", 2)
        later = [frame for frame in client.received.speech[heard:] if frame.pcm]

        assert numbers_of(b"".join(frame.pcm for frame in later), 2_400) == [101, 102, 103]
        assert next(frame.offset for frame in later) == 0
        await client.cut()


async def test_audio_that_was_kept_for_half_a_minute_arrives_whole() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        await client.cut()
        for number in range(1, 900):
            await client.send_audio(piece(number))
        await asyncio.sleep(28.8)
        resumed_at = asyncio.get_running_loop().time()
        await client.resume()
        await client.until_acknowledged()

        assert numbers_of(stream.pcm, 512) == list(range(1, 900))
        assert asyncio.get_running_loop().time() - resumed_at < 28.8 / 4 + 0.5
        await client.cut()


async def test_the_end_of_the_server_ends_what_waits_for_clients() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        await client.cut()

    assert stream.is_closed
    assert rig.registry.live == 0


async def test_a_hello_ends_the_session_before_for_good() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, first = await started(rig)
        former = client.token
        await client.send({"type": "hello", "protocol": 1, "resume": True})
        await rig.model.stream(2)
        await client.until_told("session.ended")
        await client.cut()

        assert first.is_closed
        with pytest.raises(ResumeRefused):
            await client.resume(former)
        await client.cut()


async def test_each_session_on_a_connection_counts_from_nothing() -> None:
    async with running_server(resume_seconds=GRACE) as rig:
        client, _ = await started(rig)
        await client.send_audio(piece(1))
        await client.until_acknowledged()
        await client.send({"type": "end"})
        await client.until_told("session.ended")
        client.received.next = client.sent = 0
        await client.send({"type": "hello", "protocol": 1, "resume": True})
        message = await client.until_told("session.started", 2)
        stream = await rig.model.stream(2)
        await client.send({"type": "text", "text": "Anew", "seq": 0})
        await stream.wait_for(TextInput)

        assert message["seq"] == 0
        assert stream.texts == ["Anew"]
        await client.cut()
