import itertools
import random

import pytest

from nova_sonic_local.speech.automaton import GrammarError, compile_grammar
from nova_sonic_local.speech.grammar import alternatives, write_grammar


def sentences(rules: dict[str, str], *, longest: int = 4) -> set[str]:
    grammar = write_grammar("en", rules, "s")
    automaton = compile_grammar(grammar.jsgf)
    candidates = itertools.chain.from_iterable(itertools.product(grammar.words, repeat=length) for length in range(longest + 1))
    return {" ".join(candidate) for candidate in candidates if automaton.accepts(candidate)}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"s": "a b"}, {"a b"}),
        ({"s": "a [ b ]"}, {"a", "a b"}),
        ({"s": "( a | b ) c"}, {"a c", "b c"}),
        ({"s": "a ( b )*"}, {"a", "a b", "a b b", "a b b b"}),
        ({"s": "( a b )+"}, {"a b", "a b a b"}),
        ({"s": "<x> <x>", "x": "( a | b )"}, {"a a", "a b", "b a", "b b"}),
        ({"s": "[ [ a ] b ]"}, {"", "b", "a b"}),
    ],
)
def test_a_grammar_accepts_exactly_its_sentences(rules: dict[str, str], expected: set[str]) -> None:
    assert sentences(rules) == expected


def test_the_automaton_is_the_smallest() -> None:
    automaton = compile_grammar("public <s> = ( a x | b x | c x ) ;")

    assert automaton.states == 3
    assert len(automaton.transitions) == 4


def test_rules_that_are_not_needed_are_left_out() -> None:
    grammar = write_grammar("en", {"s": "a <x>", "x": "b", "y": "c"}, "s")

    assert "<y>" not in grammar.jsgf
    assert grammar.words == ("a", "b")


@pytest.mark.parametrize(
    ("jsgf", "message"),
    [
        ("<s> = a ;", "no public rule"),
        ("public <s> = <x> ;", "does not exist"),
        ("public <s> = a <s> ;", "calls itself"),
        ("public <s> = ( a ;", "not closed"),
        ("public <s> = ( a ] ;", "not closed"),
        ("public <s> = a ) ;", "too many"),
    ],
)
def test_a_grammar_that_is_none_is_refused(jsgf: str, message: str) -> None:
    with pytest.raises(GrammarError, match=message):
        compile_grammar(jsgf)


def test_alternatives_leave_out_what_is_empty_or_double() -> None:
    assert alternatives(["a", "", "b", "a"]) == "( a | b )"
    assert alternatives(["", ""]) == ""


def test_random_grammars_keep_their_sentences_through_compilation() -> None:
    source = random.Random(5)

    def expansion(depth: int) -> tuple[str, set[str]]:
        if depth == 0:
            word = source.choice("abc")
            return word, {word}
        (left, lefts), (right, rights) = expansion(depth - 1), expansion(depth - 1)
        match source.randrange(3):
            case 0:
                return f"{left} {right}", {f"{one} {two}".strip() for one in lefts for two in rights}
            case 1:
                return f"( {left} | {right} )", lefts | rights
            case _:
                return f"[ {left} ] {right}", {f"{one} {two}".strip() for one in lefts | {""} for two in rights}

    for _ in range(60):
        text, expected = expansion(3)
        automaton = compile_grammar(f"public <s> = {text} ;")
        assert all(automaton.accepts(sentence.split()) for sentence in expected)
        strangers = {" ".join(source.choice("abc") for _ in range(source.randrange(9))) for _ in range(50)} - expected
        assert not any(automaton.accepts(sentence.split()) for sentence in strangers)
