"""Script files and the brain that follows them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from nova_sonic_local.brains.interface import Prompt, UserTurn
from nova_sonic_local.brains.script import ScriptBrain, ScriptError, ScriptTurn, load_script, plain_words

PROMPT = Prompt("amazon.nova-2-sonic-v1", "matthew", 16_000, 24_000, "")

SEQUENCE = """
name = "two turns"
repeat = true

[[turns]]
hear = ["Where is my order?", "order"]
say = "One moment."
tools = [{ name = "lookup", arguments = { order_id = "1" } }, { name = "log" }]
then = ["It is {status}.", "Anything else?"]

[[turns]]
say = ["Goodbye."]
"""

MATCHED = """
order = "matched"
otherwise = "What?"
[[turns]]
hear = ["¿Dónde está mi pedido?", "my order"]
say = "Here."
"""


class NotedReply:
    """Writes down what the brain does."""

    def __init__(self, results: list[Mapping[str, object]] | None = None) -> None:
        self.said: list[str] = []
        self.called: list[tuple[str, Mapping[str, object] | str]] = []
        self.results = results or []

    async def say(self, text: str) -> None:
        self.said.append(text)

    async def play(self, pcm: bytes, text: str = "") -> None:
        self.said.append(text)

    async def call_tools(self, calls: Sequence[tuple[str, Mapping[str, object] | str]]) -> list[Mapping[str, object]]:
        self.called.extend(calls)
        return self.results


def script_file(folder: Path, text: str) -> Path:
    path = folder / "script.toml"
    path.write_text(text)
    return path


def brain(folder: Path, text: str) -> ScriptBrain:
    return ScriptBrain(PROMPT, load_script(script_file(folder, text)))


async def heard(player: ScriptBrain) -> str | None:
    listener = player.listen()
    assert listener is not None
    await listener.feed(b"")
    return await listener.finish()


async def test_a_sequence_is_heard_said_and_called_in_order(tmp_path: Path) -> None:
    player, reply = brain(tmp_path, SEQUENCE), NotedReply([{"status": "ready"}, {"ok": True}])
    words = [await heard(player) for _ in range(3)]
    for number in (1, 2, 3):
        await player.answer(UserTurn(number, None), reply)

    assert words == ["Where is my order?", None, "Where is my order?"]
    assert reply.called == [("lookup", {"order_id": "1"}), ("log", {})] * 2
    assert reply.said == ["One moment.", "It is ready.", "Anything else?", "Goodbye.", "One moment.", "It is ready.", "Anything else?"]


async def test_the_last_turn_of_a_script_without_repetition_answers_all_that_follows(tmp_path: Path) -> None:
    player, reply = brain(tmp_path, SEQUENCE.replace("repeat = true", "repeat = false")), NotedReply()
    for number in (2, 3, 9):
        await player.answer(UserTurn(number, None), reply)

    assert reply.said == ["Goodbye."] * 3


@pytest.mark.parametrize(
    ("text", "said"),
    [("donde esta mi pedido", "Here."), ("  My ORDER! ", "Here."), ("my orders", "What?"), (None, "What?")],
)
async def test_a_text_is_matched_without_case_accents_and_signs(tmp_path: Path, text: str | None, said: str) -> None:
    player, reply = brain(tmp_path, MATCHED), NotedReply()
    await player.answer(UserTurn(1, text), reply)
    await player.close()

    assert reply.said == [said]


def test_a_turn_may_be_silent(tmp_path: Path) -> None:
    assert load_script(script_file(tmp_path, "[[turns]]")).turns == (ScriptTurn(),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "turns: at least one"),
        ("turns = 1", "turns: at least one"),
        ("[[turns]]\nsays = 'x'", r"turns\[0\]: unknown member 'says'; there are fault, hear, say, then, tools"),
        ("[[turns]]\nsay = 1", r"turns\[0\].say: must be a text or a list of texts"),
        ("[[turns]]\nsay = ['']", r"turns\[0\].say: must be"),
        ("[[turns]]\ntools = 'x'", r"turns\[0\].tools: must be a list of tables"),
        ("[[turns]]\ntools = ['x']", r"turns\[0\].tools\[0\]: must be a table"),
        ("[[turns]]\ntools = [{}]", r"turns\[0\].tools\[0\].name: must be a text"),
        ("[[turns]]\ntools = [{ name = 'x', arguments = 1 }]", r"turns\[0\].tools\[0\].arguments: must be a table"),
        ("order = 'random'\n[[turns]]", 'order: must be "sequence" or "matched"'),
        ("repeat = 1\n[[turns]]", "repeat must be true or false"),
        ("voice = 'x'\n[[turns]]", "the script: unknown member 'voice'"),
        ("fault = 'nonsense'\n[[turns]]", "fault: no fault is called 'nonsense'"),
        ("fault = 1\n[[turns]]", "fault: must be a text"),
        ("[[turns]]\nfault = 'rst@soon'", r"turns\[0\].fault: 'soon' is no moment"),
        ("turns = [1]", r"turns\[0\]: must be a table"),
        ("[[turns", "script.toml: "),
    ],
)
def test_a_bad_script_is_told_by_file_and_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ScriptError, match=message) as error:
        load_script(script_file(tmp_path, text))
    assert "script.toml: " in str(error.value)


def test_a_missing_script_is_told(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match="No such file"):
        load_script(tmp_path / "nothing.toml")


def test_words_are_plain() -> None:
    assert plain_words("¡Año NUEVO, 2-0!") == "ano nuevo 2 0"
