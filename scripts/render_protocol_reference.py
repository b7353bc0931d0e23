"""Write docs/reference/protocol.md from the tables in s2s/.

Usage: python -m scripts.render_protocol_reference
"""

from pathlib import Path

from s2s import failures, limits
from s2s.models import MODELS, Feature
from s2s.tables import CONTENT, DATA, PROMPT, STREAM

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "protocol.md"

_HEAD = """# Order of events on a stream

Written by `python -m scripts.render_protocol_reference` from `s2s/tables.py`, `s2s/models.py`, `s2s/limits.py` and `s2s/failures.py`;
a test fails when it is not current. The rules that are no table are in the docstring of `s2s/protocol.py`.
"""


def render() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *_stream(), *_prompt(), *_content(), *_models(), *_limits(), *_failures()])


def _table(*rows: tuple[str, ...]) -> list[str]:
    head, *body = rows
    return [_line(head), _line(("---",) * len(head)), *map(_line, body), ""]


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _stream() -> list[str]:
    rows = [("state", "event", "next state")]
    for state, moves in STREAM.items():
        rows += [(state.value, kind.__name__, following.value) for kind, following in moves.items()] or [(state.value, "-", "-")]
    return ["## Stream", "", *_table(*rows)]


def _prompt() -> list[str]:
    rows = [("phase of the prompt", "block that may open", "next phase")]
    rows += [(phase.value, block.value, following.value) for phase, moves in PROMPT.items() for block, following in moves.items()]
    note = "A contentEnd of the AUDIO block leads from LISTENING to DEAF. A TOOL block needs a call that waits for its result."
    return ["## Prompt", "", *_table(*rows), note, ""]


def _content() -> list[str]:
    rows = [("state of a block", "what comes", "next state")]
    for state, moves in CONTENT.items():
        rows += [(state.value, kind, following.value) for kind, following in moves.items()] or [(state.value, "-", "-")]
    data = [("event", "blocks that it fills")]
    data += [(kind.__name__, ", ".join(sorted(block.value for block in blocks))) for kind, blocks in DATA.items()]
    return ["## Content", "", *_table(*rows), *_table(*data)]


def _models() -> list[str]:
    rows = [("model", "voices", *(feature.value for feature in Feature), "end of life")]
    for model_id, row in MODELS.items():
        able = tuple("yes" if feature in row.features else "no" for feature in Feature)
        rows.append((f"`{model_id}`", ", ".join(sorted(row.voices)), *able, row.end_of_life or "-"))
    return ["## Models", "", *_table(*rows), "Any other id is treated like `amazon.nova-2-sonic-v1:0`, with any voice.", ""]


def _limits() -> list[str]:
    rows = [("limit", "value")]
    rows += [(f"`{name}`", str(value)) for name, value in vars(limits).items() if name.isupper() and isinstance(value, int | tuple)]
    return ["## Limits", "", *_table(*rows)]


def _failures() -> list[str]:
    texts = [("the service's text contains", "code", "remedy")]
    texts += [(f"`{known.text}`", known.code, known.remedy.value) for known in failures.BY_TEXT]
    names = [("exception", "code", "remedy")]
    names += [(name, known.code, known.remedy.value) for name, known in failures.BY_EXCEPTION.items()]
    return ["## Failures", "", *_table(*texts), *_table(*names)]


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render(), encoding="utf-8")
