"""A brain that follows a script: what it "recognises", says and calls is written down in a TOML file.

name = "orders"
order = "matched"        # or "sequence" (default): the n-th turn of the user gets the n-th turn of the script
repeat = true            # a sequence begins again at its end; else the last turn answers everything after it
otherwise = "Sorry?"     # matched: the answer to a text that no turn expects
fault = "rst@30s"        # of each stream: what goes wrong, and when (faults.py)

[[turns]]
hear = "where is my order"            # the transcript of a spoken turn; matched: a text, or several, compared without case and signs
say = ["One moment."]                 # sentence groups, each with its own audio
tools = [{ name = "lookup", arguments = { order_id = "1" } }]     # called at once, in parallel
then = "It is {status}."              # said after the results; {member} is taken from them
fault = "stall:2@toolUse"             # when the answer begins, or at a moment that counts from there
"""

import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nova_sonic_local.brains.interface import Breakable, Listener, Prompt, Reply, UserTurn
from nova_sonic_local.faults import parse_faults


class ScriptError(Exception):
    """The script file cannot be used; the message names the place."""


@dataclass(frozen=True, slots=True)
class ScriptTurn:
    """What happens in one turn."""

    hear: tuple[str, ...] = ()
    say: tuple[str, ...] = ()
    tools: tuple[tuple[str, Mapping[str, object]], ...] = ()
    then: tuple[str, ...] = ()
    fault: str = ""
    """What goes wrong, in the form of faults.py."""


@dataclass(frozen=True, slots=True)
class Script:
    """A whole script."""

    turns: tuple[ScriptTurn, ...]
    is_matched: bool = False
    is_repeated: bool = True
    otherwise: str = "I did not understand that."
    fault: str = ""
    """What goes wrong on each stream, in the form of faults.py."""

    def turn(self, number: int) -> ScriptTurn | None:
        """Return the turn of a sequence, from 1."""
        count = len(self.turns)
        return self.turns[(number - 1) % count if self.is_repeated else min(number, count) - 1] if count else None

    def match(self, text: str) -> ScriptTurn | None:
        """Return the turn that expects this text, or None."""
        plain = plain_words(text)
        return next((turn for turn in self.turns if any(plain_words(expected) == plain for expected in turn.hear)), None)


DEFAULT_SCRIPT = Script((ScriptTurn(("hello",), ("Hello, this is Nova Sonic Local. I heard you.",)),))
"""Used when no file is given."""


def plain_words(text: str) -> str:
    """Return a text in lower case without accents and signs."""
    decomposed = unicodedata.normalize("NFD", text.lower())
    kept = "".join(sign if sign.isalnum() else " " for sign in decomposed if not unicodedata.combining(sign))
    return " ".join(kept.split())


def load_script(path: Path) -> Script:
    """Read a script.

    Raises:
        ScriptError: there is no such file, it is no TOML, or a member is unknown or of the wrong type.
    """
    try:
        with path.open("rb") as file:
            return parse_script(tomllib.load(file))
    except OSError as error:
        raise ScriptError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ScriptError) as error:
        raise ScriptError(f"{path}: {error}") from error


def parse_script(document: Mapping[str, object]) -> Script:
    """Return the script of a TOML document.

    Raises:
        ScriptError: a member is unknown or of the wrong type.
    """
    _allow(document, {"name", "order", "repeat", "otherwise", "fault", "turns"}, "the script")
    turns = document.get("turns")
    if not isinstance(turns, list) or not turns:
        raise ScriptError("turns: at least one [[turns]] table is needed")
    order = document.get("order", "sequence")
    if order not in ("sequence", "matched"):
        raise ScriptError('order: must be "sequence" or "matched"')
    repeat, otherwise = document.get("repeat", True), document.get("otherwise", "I did not understand that.")
    if not isinstance(repeat, bool) or not isinstance(otherwise, str):
        raise ScriptError("repeat must be true or false, otherwise a text")
    return Script(
        tuple(_parse_turn(turn, f"turns[{index}]") for index, turn in enumerate(turns)),
        order == "matched",
        repeat,
        otherwise,
        _fault(document, "fault"),
    )


def _parse_turn(turn: object, place: str) -> ScriptTurn:
    table = _table(turn, place)
    _allow(table, {"hear", "say", "tools", "then", "fault"}, place)
    tools = table.get("tools", [])
    if not isinstance(tools, list):
        raise ScriptError(f"{place}.tools: must be a list of tables")
    parsed = tuple(_parse_call(call, f"{place}.tools[{index}]") for index, call in enumerate(tools))
    fault = _fault(table, f"{place}.fault")
    return ScriptTurn(_texts(table, "hear", place), _texts(table, "say", place), parsed, _texts(table, "then", place), fault)


def _fault(table: Mapping[str, object], place: str) -> str:
    text = table.get("fault", "")
    if not isinstance(text, str):
        raise ScriptError(f"{place}: must be a text")
    try:
        parse_faults(text)
    except ValueError as error:
        raise ScriptError(f"{place}: {error}") from error
    return text


def _parse_call(call: object, place: str) -> tuple[str, Mapping[str, object]]:
    table = _table(call, place)
    _allow(table, {"name", "arguments"}, place)
    name = table.get("name")
    if not isinstance(name, str):
        raise ScriptError(f"{place}.name: must be a text")
    return name, _table(table.get("arguments", {}), f"{place}.arguments")


def _table(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ScriptError(f"{place}: must be a table")
    return value


def _allow(table: Mapping[str, object], names: set[str], place: str) -> None:
    unknown = sorted(table.keys() - names)
    if unknown:
        raise ScriptError(f"{place}: unknown member {unknown[0]!r}; there are {', '.join(sorted(names))}")


def _texts(table: Mapping[str, object], name: str, place: str) -> tuple[str, ...]:
    value = table.get(name, [])
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) and text for text in texts):
        raise ScriptError(f"{place}.{name}: must be a text or a list of texts")
    return tuple(str(text) for text in texts)


class _Cue:
    """Hears what the script says."""

    def __init__(self, text: str | None) -> None:
        self._text = text

    async def feed(self, pcm: bytes) -> None:
        """Ignore the sound."""

    async def finish(self) -> str | None:
        """Return the cue."""
        return self._text


class ScriptBrains:
    """Makes the brains that follow one script.

    Args:
        script: what to say.
    """

    def __init__(self, script: Script) -> None:
        self._script = script

    @property
    def fault(self) -> str:
        """What goes wrong on each stream."""
        return self._script.fault

    def __call__(self, prompt: Prompt) -> "ScriptBrain":
        """Return a brain for a prompt."""
        return ScriptBrain(prompt, self._script)


class ScriptBrain:
    """Follows a script.

    Args:
        prompt: of the stream.
        script: what to say.
    """

    def __init__(self, prompt: Prompt, script: Script) -> None:
        self._prompt = prompt
        self._script = script
        self._heard = 0

    def listen(self) -> Listener | None:
        """Return the next cue."""
        self._heard += 1
        turn = self._script.turn(self._heard)
        return _Cue(turn.hear[0] if turn is not None and turn.hear else None)

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        """Do what the script says for this turn."""
        scripted = self._script.match(turn.text or "") if self._script.is_matched else self._script.turn(turn.number)
        if scripted is None:
            await reply.say(self._script.otherwise)
            return
        if scripted.fault and isinstance(reply, Breakable):
            reply.inject(scripted.fault)
        for text in scripted.say:
            await reply.say(text)
        fields: dict[str, object] = {}
        if scripted.tools:
            for result in await reply.call_tools(scripted.tools):
                fields |= result
        for text in scripted.then:
            await reply.say(_fill(text, fields))

    async def close(self) -> None:
        """Do nothing: nothing is held."""


def _fill(text: str, fields: Mapping[str, object]) -> str:
    for name, value in fields.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text
