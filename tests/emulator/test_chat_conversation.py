"""The chat brain behind the wire: typed and spoken turns, interruptions, tools, and the command line."""

import io
import json
import logging
import wave
from pathlib import Path

import pytest

from nova_sonic_local.__main__ import parse_arguments, to_options
from nova_sonic_local.brains.chat import NOT_UNDERSTOOD, ChatBrains
from nova_sonic_local.brains.chat_settings import KEY_VARIABLE, ChatSettings
from nova_sonic_local.brains.interface import Prompt
from nova_sonic_local.brains.scenario import BUILT_IN
from nova_sonic_local.casting import HEADER
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from nova_sonic_local.speech.recogniser import is_available
from nova_sonic_local.speech.say import say
from nova_sonic_local.turns import INAUDIBLE
from tests import needs
from tests.emulator.chat_server import HANG, Answer, ChatServer, call, chat_server, delta, finish, text
from tests.emulator.wire import RawClient, audio_input, closing, opening, silence, spoken_turn, text_block, tool, tool_result

pytestmark = pytest.mark.timeout(30)


def chat_options(server: ChatServer, transcription_model: str = "") -> Options:
    return Options(brain="chat", chat=ChatSettings(server.url, "a-model", transcription_model=transcription_model))


def heard(words: str) -> Answer:
    return Answer([json.dumps({"text": words}).encode()], content_type="application/json")


async def test_a_typed_turn_with_a_tool_is_answered() -> None:
    wanting = [delta(content="Let me have a look."), call(0, "a", "lookup", '{"city":"Oslo"}'), finish("tool_calls")]
    async with (
        chat_server(wanting, text("It is grey there.")) as server,
        NovaSonicLocal(chat_options(server)) as emulator,
        RawClient(emulator.h2c_endpoint) as client,
    ):
        stream = client.open()
        await stream.send(*opening(tools=[tool()]), audio_input(silence(0.1)), *text_block("U", "USER", "Weather?", interactive=True))
        use = await stream.until("toolUse")
        await stream.send(*tool_result(use["toolUseId"], '{"sky":"grey"}'))
        await stream.until("contentEnd", type="AUDIO", stopReason="END_TURN")
        await stream.send(*closing())
        stream.end()
        ending = await stream.ending()

        assert (use["toolName"], json.loads(use["content"])) == ("lookup", {"city": "Oslo"})
        assert stream.texts("ASSISTANT", "SPECULATIVE") == ["Let me have a look.", "It is grey there."]
        assert server.asked[1]["messages"][-1]["content"] == '{"sky":"grey"}'
        assert (ending.is_ended, ending.exception) == (True, None)


async def test_what_is_spoken_is_transcribed_by_an_endpoint() -> None:
    async with (
        chat_server(text("It is grey there.")) as server,
        NovaSonicLocal(chat_options(server, "whisper")) as emulator,
        RawClient(emulator.h2c_endpoint) as client,
    ):
        server.transcription = heard(" How is the weather? ")
        stream = client.open()
        await stream.send(*opening(), *spoken_turn(0.8))
        await stream.until("contentEnd", type="AUDIO")
        with wave.open(io.BytesIO(bytes(server.heard[0]["file"]))) as sound:  # type: ignore[call-overload]
            seconds, shape = sound.getnframes() / sound.getframerate(), (sound.getframerate(), sound.getnchannels(), sound.getsampwidth())

        assert stream.texts("USER", "FINAL") == ["How is the weather?"]
        assert server.asked[0]["messages"][-1] == {"role": "user", "content": "How is the weather?"}
        assert server.heard[0]["model"] == "whisper"
        assert shape == (16_000, 1, 2)
        assert 0.8 <= seconds <= 2.0


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (Answer(status=500), "answered HTTP 500"),
        (Answer([b"no json"]), "failed: JSONDecodeError"),
        (Answer([HANG]), "failed: TimeoutError"),
        (Answer([b"3"]), ""),
        (heard("  "), ""),
    ],
)
async def test_speech_that_cannot_be_transcribed_is_not_understood(answer: Answer, line: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "nova_sonic_local")
    async with chat_server(text("Would you say that again?")) as server:
        server.transcription = answer
        chat = ChatSettings(server.url, "a-model", transcription_model="whisper", patience_seconds=0.5)
        async with NovaSonicLocal(Options(brain="chat", chat=chat)) as emulator, RawClient(emulator.h2c_endpoint) as client:
            stream = client.open()
            await stream.send(*opening(), *spoken_turn())
            await stream.until("contentEnd", type="AUDIO")

    assert stream.texts("USER", "FINAL") == [INAUDIBLE]
    assert server.asked[0]["messages"][-1]["content"] == NOT_UNDERSTOOD
    assert [record.getMessage() for record in caplog.records] == ([f"the transcription endpoint {line}"] if line else [])


async def test_speech_interrupts_and_the_endpoint_need_not_go_on() -> None:
    story = "Once upon a time there was a robot who told very long stories to everybody. And"
    async with (
        chat_server([delta(content=story), HANG], text("As you like it.")) as server,
        NovaSonicLocal(chat_options(server, "whisper")) as emulator,
        RawClient(emulator.h2c_endpoint) as client,
    ):
        server.transcription = heard("Words.")
        stream = client.open()
        await stream.send(*opening(), *spoken_turn())
        await stream.until("audioOutput")
        await stream.send(*spoken_turn())
        await stream.until("contentEnd", stopReason="INTERRUPTED")
        await server.dropped.wait()
        await stream.until("textOutput", role="ASSISTANT", content="As you like it.")

        assert [message["content"] for message in server.asked[1]["messages"]][-2] == f"{story.removesuffix(' And')} ..."


async def test_a_stream_that_ends_drops_its_request() -> None:
    async with (
        chat_server([HANG]) as server,
        NovaSonicLocal(chat_options(server, "whisper")) as emulator,
        RawClient(emulator.h2c_endpoint) as client,
    ):
        server.transcription = heard("Words.")
        stream = client.open()
        await stream.send(*opening(), *spoken_turn())
        await stream.until("textOutput", role="USER")
        await server.was_asked.wait()
        await stream.send(*closing())
        stream.end()
        ending = await stream.ending()
        await server.dropped.wait()

        assert (ending.is_ended, ending.exception) == (True, None)


async def test_a_stream_can_ask_for_the_chat_brain_where_there_is_an_endpoint() -> None:
    async with chat_server(text("Here I am for you.")) as server:
        options = Options(chat=chat_options(server).chat)
        async with NovaSonicLocal(options) as emulator, RawClient(emulator.h2c_endpoint) as client:
            stream = client.open(headers=[(HEADER, "chat")])
            await stream.send(*opening(), *spoken_turn())
            await stream.until("textOutput", role="ASSISTANT", content="Here I am for you.")
    async with NovaSonicLocal() as emulator, RawClient(emulator.h2c_endpoint) as client:
        refused = await client.open(headers=[(HEADER, "chat")], has_body=False).ending()

    assert server.asked[0]["messages"][-1]["content"] == NOT_UNDERSTOOD
    assert (refused.status, b"--chat-url" in refused.body) == (400, True)


@pytest.mark.speech
async def test_a_scenario_gives_the_recogniser_its_phrases() -> None:
    if not is_available():
        needs.missing("pocketsphinx")
    needs.espeak()
    brains = ChatBrains(ChatSettings("http://127.0.0.1:1/v1", "a-model"), BUILT_IN)
    brain = brains(Prompt("amazon.nova-2-sonic-v1", "carlos", 16_000, 24_000, ""))
    listener = brain.listen()
    assert listener is not None
    await listener.feed(await say("quiero cancelar mi pedido", "es-419", 16_000))
    found = await listener.finish()
    await brain.close()
    await brains.aclose()

    assert found == "quiero cancelar mi pedido"


def test_the_key_comes_from_a_file_or_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text("sk-from-the-file\n")
    words = ["--brain", "chat", "--chat-url", "http://127.0.0.1:1/v1", "--chat-model", "m"]
    without = to_options(parse_arguments(words)).chat
    monkeypatch.setenv(KEY_VARIABLE, "sk-from-the-environment")
    from_variable = to_options(parse_arguments(words)).chat
    from_file = to_options(parse_arguments([*words, "--chat-key-file", str(file)])).chat
    assert without is not None
    assert from_variable is not None
    assert from_file is not None

    assert (without.key, from_variable.key, from_file.key) == ("", "sk-from-the-environment", "sk-from-the-file")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--chat-url", "http://127.0.0.1:1/v1"], "--chat-model"),
        (["--chat-model", "m"], "--chat-url"),
        (["--chat-url", "http://h/v1", "--chat-model", "m", "--chat-key-file", "/no/such/file"], "--chat-key-file: /no/such/file"),
        (["--chat-url", "http://h/v1", "--chat-model", "m", "--chat-transcription-url", "h"], "--chat-transcription-url"),
    ],
)
def test_wrong_chat_options_are_named(words: list[str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        to_options(parse_arguments(words))
