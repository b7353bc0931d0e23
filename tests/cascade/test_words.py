"""Sentences, what is said of them, and the conversation as Converse is told it."""

import json

import pytest

from cascade.dialogue import MOST_MESSAGES, Dialogue
from cascade.interfaces import ToolCall
from cascade.sentences import LONGEST, SentenceSplitter, spoken_text
from s2s.events import Role
from tests.cascade.talk import in_short


def split(*pieces: str) -> list[str]:
    splitter = SentenceSplitter()
    return [sentence for piece in pieces for sentence in splitter.feed(piece)] + splitter.finish()


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Good morning, Anna. How are you?", ["Good morning, Anna.", "How are you?"]),
        ("No. It has not been sent.", ["No. It has not been sent."]),
        ("The total is 12.50 dollars. Is that all?", ["The total is 12.50 dollars.", "Is that all?"]),
        ("You see Dr. Smith at 3 p.m. on Monday. Fine?", ["You see Dr. Smith at 3 p.m. on Monday.", "Fine?"]),
        ("¿Le sirve el lunes? ¡Perfecto, queda agendado!", ["¿Le sirve el lunes?", "¡Perfecto, queda agendado!"]),
        ("First there is a line\nthen another", ["First there is a line", "then another"]),
        ('She said "I am here." Then she left.', ['She said "I am here."', "Then she left."]),
        ("   ", []),
    ],
)
def test_a_text_is_cut_into_sentences(text: str, sentences: list[str]) -> None:
    assert split(text) == sentences
    assert split(*text) == sentences


def test_a_sentence_without_an_end_is_cut_at_a_space() -> None:
    found = split("word " * 200)

    assert all(len(sentence) <= LONGEST for sentence in found)
    assert " ".join(found) == ("word " * 200).strip()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("**Very** well. [FINAL]", "Very well."),
        ("[FINAL]", ""),
        ("- one\n- two", "one two"),
        ("...", ""),
        ("Son 3 pizzas.", "Son 3 pizzas."),
    ],
)
def test_what_is_not_to_be_said_is_left_out(text: str, said: str) -> None:
    assert spoken_text(text) == said


def lines(dialogue: Dialogue) -> list[tuple[str, str]]:
    return [(message["role"], in_short(message["content"])) for message in dialogue.messages()]


def test_results_come_before_what_was_said_meanwhile() -> None:
    dialogue = Dialogue()
    dialogue.user("a")
    dialogue.answer(1, "", [ToolCall("u1", "t", '{"n":1}'), ToolCall("u2", "t", "nonsense")])
    dialogue.user("b")
    dialogue.result("u1", '{"r":1}')
    dialogue.result("u2", '{"r":2}')

    assert lines(dialogue) == [
        ("user", "a"),
        ("assistant", '<u1 {"n": 1}> | <u2 {}>'),
        ("user", '<u1 = {"r": 1}> | <u2 = {"r": 2}> | b'),
    ]


def test_an_answer_that_nobody_heard_is_left_out() -> None:
    dialogue = Dialogue()
    dialogue.user("a")
    dialogue.answer(1, "said")
    dialogue.cut(1, "")
    dialogue.user("b")

    assert lines(dialogue) == [("user", "a | b")]


def test_what_was_told_before_begins_with_the_user() -> None:
    dialogue = Dialogue()
    dialogue.tell(Role.ASSISTANT, "hello")
    dialogue.tell(Role.USER, "a")
    dialogue.tell(Role.USER, "b")
    dialogue.tell(Role.ASSISTANT, "c")

    assert lines(dialogue) == [("user", "a | b"), ("assistant", "c")]


def test_a_long_conversation_loses_its_beginning_and_no_half_of_a_call() -> None:
    dialogue = Dialogue()
    for number in range(MOST_MESSAGES):
        dialogue.user(f"q{number}")
        dialogue.answer(2 * number, "", [ToolCall(f"u{number}", "t", "{}")])
        dialogue.result(f"u{number}", "{}")
        dialogue.answer(2 * number + 1, f"a{number}")
    told = dialogue.messages()
    used = {block["toolUse"]["toolUseId"] for message in told for block in message["content"] if "toolUse" in block}
    answered = {block["toolResult"]["toolUseId"] for message in told for block in message["content"] if "toolResult" in block}

    assert len(told) <= MOST_MESSAGES + 4
    assert told[0]["role"] == "user"
    assert used == answered
    assert json.dumps(told[0]["content"]).startswith('[{"text": "q')
