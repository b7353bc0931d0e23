import itertools

import pytest

from nova_sonic_local.speech.automaton import compile_grammar
from nova_sonic_local.speech.grammar import write_grammar
from nova_sonic_local.speech.patterns import PatternError, Reader, parse_pattern
from nova_sonic_local.speech.readers import Table
from nova_sonic_local.speech.tokens import tokenise

COLOUR: dict[str, Reader] = {"colour": Table.of([("rojo", "red"), ("azul oscuro", "navy"), ("azul", "blue")])}


def captured(pattern: str, text: str) -> list[dict[str, object]]:
    tokens = tokenise(text)
    return [dict(captures) for end, captures in parse_pattern(pattern, COLOUR).match(tokens, 0) if end == len(tokens)]


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("quiero ver", "Quiero VER", 1),
        ("quiero ver", "quiero", 0),
        ("[quiero] ver", "ver", 1),
        ("[quiero] ver", "quiero ver", 1),
        ("(ver|mirar) eso", "mirar eso", 1),
        ("(ver|mirar) eso", "tocar eso", 0),
        ("[a|b] c", "b c", 1),
        ("[a|b] c", "c", 1),
        ("número? uno", "uno", 1),
        ("número? uno", "número uno", 1),
        ("", "", 1),
    ],
)
def test_a_pattern_matches_what_it_says(pattern: str, text: str, matches: int) -> None:
    assert len(captured(pattern, text)) == matches


def test_slots_take_the_longest_value_first() -> None:
    assert captured("pintar de {colour}", "pintar de azul oscuro") == [{"colour": "navy"}]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("[a", "expected ]"),
        ("a]", "expected the end"),
        ("(a|b", r"expected \)"),
        ("a | b)", "expected the end"),
        ("{size}", "no slot 'size'"),
    ],
)
def test_a_wrong_pattern_is_refused_with_its_text(pattern: str, message: str) -> None:
    with pytest.raises(PatternError, match=message):
        parse_pattern(pattern, COLOUR)


@pytest.mark.parametrize("pattern", ["a [b] c", "[a|b] (c|d) [e [f]]", "número? {colour} [y {colour}]", "(a|[b]) c", "[[a] b] {colour}"])
def test_the_grammar_and_the_matcher_of_a_pattern_agree(pattern: str) -> None:
    node = parse_pattern(pattern, COLOUR)
    automaton = compile_grammar(write_grammar("es", {"s": node.jsgf()}, "s").jsgf)
    vocabulary = sorted({word for _, word, _ in automaton.transitions} | {"z"})

    spoken = [
        sentence for length in range(1, 5) for sentence in itertools.product(vocabulary, repeat=length) if automaton.accepts(sentence)
    ]

    assert spoken
    assert all(any(end == len(sentence) for end, _ in node.match(tokenise(" ".join(sentence)), 0)) for sentence in spoken)


def test_the_first_words_of_a_pattern_leave_out_no_match() -> None:
    assert parse_pattern("[a|b] (c|d) e").first() == frozenset("abcd")
    assert parse_pattern("{colour} a", COLOUR).first() is None
    assert parse_pattern("[{colour}] a", COLOUR).first() is None
