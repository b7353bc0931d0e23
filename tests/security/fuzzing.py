"""What hostile clients make of valid messages: members taken away, swapped, repeated, and given values of every kind."""

import json
from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from transports.dialects.interface import Frame

NASTY_TEXTS = (
    "",
    " ",
    "\0",
    "\ud800",
    "\ufeff",
    "\u202e",
    "../..",
    "a" * 5_000,
    "1e400",
    "null",
    "{",
    '{"event":{}}',
    "=",
    "AAA",
    "AA==",
    "ñ" * 300,
)
NASTY_NUMBERS = (0, -1, 1, 2**16, 2**31, 2**32, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**30, 0.5, -0.0, 1e308, 5e-324)

nasty = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NASTY_NUMBERS),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(NASTY_TEXTS),
    st.text(max_size=30),
    st.just([]),
    st.just({}),
    st.lists(st.integers(0, 9), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(0, 9), max_size=3),
)


@st.composite
def changed(draw: st.DrawFn, document: object) -> object:
    """Return a document with something wrong somewhere in it."""
    if isinstance(document, Mapping) and document and draw(st.integers(0, 3)):
        return _changed_members(draw, document)
    if isinstance(document, str) and draw(st.booleans()):
        place = draw(st.integers(0, len(document)))
        return document[:place] + draw(st.text(max_size=3)) + document[place + draw(st.integers(0, 3)) :]
    if isinstance(document, Sequence) and not isinstance(document, str | bytes) and document and draw(st.booleans()):
        return [draw(changed(each)) for each in document] * draw(st.integers(0, 2))
    return draw(nasty)


def _changed_members(draw: st.DrawFn, document: Mapping[str, object]) -> object:
    name = draw(st.sampled_from(sorted(document)))
    rest = {other: value for other, value in document.items() if other != name}
    match draw(st.integers(0, 4)):
        case 0:
            return rest
        case 1:
            return {**rest, draw(st.text(max_size=10)): document[name]}
        case 2:
            return {**rest, name: document[draw(st.sampled_from(sorted(document)))]}
        case _:
            return {**rest, name: draw(changed(document[name]))}


@st.composite
def frames(draw: st.DrawFn, examples: Sequence[object]) -> Frame:
    """Return a frame that a client sends: as it should be, changed, cut off, or none at all."""
    example = draw(st.sampled_from(examples))
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.one_of(st.text(max_size=50), st.binary(max_size=50)))
    if isinstance(example, bytes):
        place = draw(st.integers(0, min(len(example), 24)))
        return example if kind < 4 else example[:place] + draw(st.binary(max_size=4)) + example[place + draw(st.integers(0, 4)) :]
    if kind < 4:
        return json.dumps(example)
    text = json.dumps(draw(changed(example)))
    return text if kind < 9 else text[: draw(st.integers(0, len(text)))]
