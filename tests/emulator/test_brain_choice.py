"""Which brain answers a stream: by its own header, by name, never by a path."""

from pathlib import Path

import pytest

from nova_sonic_local.casting import HEADER
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.wire import RawClient, RawStream, audio_input, opening, silence, spoken_turn

SCRIPT = '[[turns]]\nhear = "hello"\nsay = "{}"'


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "scenarios"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.toml").write_text(SCRIPT.format(name))
    (folder / "broken.toml").write_text("turns = 7")
    (folder / "notes.txt").write_text("")
    (tmp_path / "outside.toml").write_text(SCRIPT.format("outside"))
    return folder


async def ask_for(client: RawClient, brain: str) -> RawStream:
    stream = await open_with(client, brain)
    await stream.send(*spoken_turn())
    return stream


async def open_with(client: RawClient, brain: str) -> RawStream:
    stream = client.open(headers=[(HEADER, brain)] if brain else [])
    await stream.send(*opening())
    return stream


async def test_streams_of_one_connection_have_brains_of_their_own(scripts: Path) -> None:
    async with NovaSonicLocal(Options(scenario_dir=scripts)) as emulator, RawClient(emulator.h2c_endpoint) as client:
        echo = await ask_for(client, "echo")
        one, two = await ask_for(client, "script:one"), await ask_for(client, "script:two")
        usual = await ask_for(client, "")
        await echo.until("audioOutput")
        said = [(await stream.until("textOutput", role="ASSISTANT"))["content"] for stream in (one, two, usual)]

    assert said == ["one", "two", "Hello, this is Nova Sonic Local. I heard you."]
    assert echo.named("textOutput") == []


async def test_a_script_that_is_named_alone_is_the_one_of_the_command_line(scripts: Path) -> None:
    options = Options(brain="script", scenario=scripts / "two.toml")
    async with NovaSonicLocal(options) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = await ask_for(client, "script")

        assert (await stream.until("textOutput", role="ASSISTANT"))["content"] == "two"


async def test_a_scenario_that_was_edited_is_read_again(scripts: Path) -> None:
    async with NovaSonicLocal(Options(scenario_dir=scripts)) as emulator, RawClient(emulator.h2c_endpoint) as client:
        before = await ask_for(client, "script:one")
        first = (await before.until("textOutput", role="ASSISTANT"))["content"]
        (scripts / "one.toml").write_text(SCRIPT.format("edited, and longer"))
        after = await ask_for(client, "script:one")
        second = (await after.until("textOutput", role="ASSISTANT"))["content"]

    assert (first, second) == ("one", "edited, and longer")


@pytest.mark.parametrize(
    ("brain", "message"),
    [
        ("poet", "no brain is called 'poet'"),
        ("script:three", "no scenario is called 'three'; there are broken, one, two"),
        ("script:../outside", "no scenario is called '../outside'"),
        ("script:notes.txt", "no scenario is called 'notes.txt'"),
        ("script:/etc/passwd", "no scenario is called '/etc/passwd'"),
        ("script:", "no scenario is called ''"),
        ("script:broken", "broken.toml"),
        ("echo:one", "a scenario can be chosen for demo, script, chat, not for 'echo'"),
        ("replay", "without --replay"),
        ("custom", "no brain is called 'custom'"),
        pytest.param("x" * 5_000, "no brain is called", id="a long name"),
    ],
)
async def test_a_brain_that_cannot_be_had_is_refused_in_the_words_of_a_validation(scripts: Path, brain: str, message: str) -> None:
    async with NovaSonicLocal(Options(scenario_dir=scripts)) as emulator, RawClient(emulator.h2c_endpoint) as client:
        ending = await (await open_with(client, brain)).ending()

    assert (ending.status, ending.headers["x-amzn-errortype"]) == (400, "ValidationException")
    assert ending.body.decode().startswith(f'{{"message":"{HEADER}: ')
    assert message in ending.body.decode()


async def test_without_a_folder_no_scenario_can_be_chosen() -> None:
    async with NovaSonicLocal(Options()) as emulator, RawClient(emulator.h2c_endpoint) as client:
        ending = await (await open_with(client, "script:one")).ending()

    assert (ending.status, b"without --scenario-dir" in ending.body) == (400, True)


async def test_one_stream_that_is_refused_leaves_the_others_alone(scripts: Path) -> None:
    async with NovaSonicLocal(Options(brain="echo", scenario_dir=scripts)) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        await stream.send(*opening(), audio_input(silence(0.1)))
        await (await open_with(client, "poet")).ending()
        await stream.send(audio_input(silence(0.1)))
        await stream.until("audioOutput", count=2)

        assert emulator.live_streams == 1
