"""The order of a conversation: what is asked, spoken and told, at each turn of it."""

from dataclasses import replace

import pytest

from s2s.events import ContentEnded, ContentStarted, ContentType, Endpointing, StopReason, UsageEvent
from tests.cascade.talk import OPENING, Talk, with_history

ASKED = ["user starts", "completion", "user stops", "user said: Where is my order?", "ask 1"]


@pytest.mark.req("S0-20")
@pytest.mark.req("S1-27")
def test_a_turn_is_heard_answered_and_spoken_in_the_order_of_nova_sonic() -> None:
    talk = Talk()

    assert talk.says("Where is my order?") == ASKED
    assert talk.writes("It is on ", "its way. ", "It comes tomorrow.") == ["speak: It is on its way."]
    assert talk.ends() == ["usage 10/5"]
    assert talk.speaks(2.0) == ["assistant plans: It is on its way.", "audio", "speech", "speak: It comes tomorrow."]
    assert talk.speaks(1.0) == ["audio PARTIAL_TURN", "assistant plans: It comes tomorrow.", "audio", "speech", "audio END_TURN"]
    assert talk.waits(2.5) == ["assistant said: It is on its way."]
    assert talk.waits(1.0) == ["assistant said: It comes tomorrow."]


def test_speech_begins_with_the_first_sentence_while_the_rest_is_written() -> None:
    talk = Talk()
    talk.says("Hello there")

    assert talk.writes("Good morning, Anna. How") == ["speak: Good morning, Anna."]
    assert talk.speaks(1.0) == ["assistant plans: Good morning, Anna.", "audio", "speech"]
    assert talk.writes(" are you?") == []
    assert talk.ends() == ["usage 10/5", "speak: How are you?"]


def test_the_text_as_spoken_tells_the_end_of_the_turn_with_its_last_sentence() -> None:
    talk = Talk()
    talk.says("Hello there")
    talk.writes("Good morning, Anna. How are you today? ")
    talk.ends()
    talk.speaks()
    talk.speaks()
    talk.waits(5.0)
    started = {event.content_id: event for event in talk.events() if isinstance(event, ContentStarted)}
    finals = [event for event in talk.events() if isinstance(event, ContentEnded) and started[event.content_id].stage == "FINAL"]

    assert [event.stop_reason for event in finals] == [StopReason.PARTIAL_TURN, StopReason.PARTIAL_TURN, StopReason.END_TURN]


def test_blocks_never_overlap_and_each_is_closed() -> None:
    talk = Talk()
    talk.says("Where is my order?")
    talk.writes("Let me see about it. ")
    talk.calls("use-1")
    talk.ends()
    talk.speaks(3.0)
    talk.answers("use-1")
    talk.writes("It is on its way. ")
    talk.ends()
    talk.speaks(1.0)
    talk.waits(9.0)
    is_open: str | None = None
    for event in talk.events():
        if isinstance(event, ContentStarted):
            assert is_open is None
            is_open = event.content_id
        elif isinstance(event, ContentEnded):
            assert is_open == event.content_id
            is_open = None

    assert is_open is None


def test_a_tool_is_called_after_the_speech_before_it_and_its_result_is_answered() -> None:
    talk = Talk()
    talk.says("Where is my order?")
    talk.writes("One moment, please. ")

    assert talk.calls("use-1") == []
    assert talk.ends() == ["usage 10/5"]
    assert talk.speaks(1.0) == [
        "assistant plans: One moment, please.",
        "audio",
        "speech",
        "audio PARTIAL_TURN",
        'calls use-1 {"id":7}',
    ]
    assert talk.answers("use-1", '{"status":"sent"}') == ["ask 2"]
    assert talk.messages() == [
        ("user", "Where is my order?"),
        ("assistant", 'One moment, please. | <use-1 {"id": 7}>'),
        ("user", '<use-1 = {"status": "sent"}>'),
    ]


def test_a_tool_that_is_called_without_a_word_needs_no_speech() -> None:
    talk = Talk()
    talk.says("Where is my order?")
    talk.calls("use-1")

    assert talk.ends() == ["usage 10/5", 'calls use-1 {"id":7}']
    assert talk.answers("use-1") == ["ask 2"]


def test_several_calls_are_answered_together() -> None:
    talk = Talk()
    talk.says("Where are my orders?")
    talk.calls("use-1")
    talk.calls("use-2")
    talk.ends()

    assert talk.answers("use-2", '{"b":2}') == []
    assert talk.answers("use-1", '{"a":1}') == ["ask 2"]
    assert talk.messages()[-1] == ("user", '<use-2 = {"b": 2}> | <use-1 = {"a": 1}>')


def test_a_result_that_nobody_waits_for_is_left_aside() -> None:
    talk = Talk()
    talk.says("Where is my order?")

    assert talk.answers("use-9") == []


def test_what_the_user_says_while_the_assistant_is_heard_interrupts_it() -> None:
    talk = Talk()
    talk.says("Tell me a story.")
    talk.writes("Once upon a time there was a king. He had three daughters and a horse. ")
    talk.speaks(2.0)
    talk.sounds(2.0)
    talk.waits(3.0)

    assert talk.hears("Sto") == [
        "user starts",
        "hush",
        "audio INTERRUPTED",
        "assistant said: Once upon a time there was a king.",
        "assistant said: interrupted!",
        "assistant said: He had three",
    ]
    assert talk.closes("Stop it.") == ["user stops", "user said: Stop it.", "ask 2"]
    assert talk.messages() == [
        ("user", "Tell me a story."),
        ("assistant", "Once upon a time there was a king. He had three"),
        ("user", "Stop it."),
    ]


def test_an_answer_that_is_complete_and_still_heard_can_be_interrupted() -> None:
    talk = Talk()
    talk.says("Tell me a story.")
    talk.writes("Once upon a time there was a king. ")
    talk.ends()
    talk.speaks(4.0)
    talk.waits(2.0)

    assert talk.hears("Sto") == ["user starts", "assistant said: interrupted!", "assistant said: Once upon a time"]
    talk.closes("Stop it.")
    assert talk.messages()[1] == ("assistant", "Once upon a time")


def test_an_answer_that_was_heard_to_its_end_is_not_interrupted() -> None:
    talk = Talk()
    talk.says("Tell me a story.")
    talk.writes("There was a king. ")
    talk.ends()
    talk.speaks(1.0)
    talk.waits(2.0)

    assert talk.hears("And") == ["user starts"]


def test_what_comes_of_an_interrupted_answer_is_left_aside() -> None:
    talk = Talk()
    talk.says("Tell me a story.")
    talk.writes("Once upon a time there was a king. ")
    talk.sounds(2.0)
    talk.hears("Sto")

    assert talk.sounds(1.0) == []
    assert talk.has_spoken() == []
    assert talk.writes("He had three daughters. ") == []
    assert talk.calls("use-1") == []
    assert talk.ends() == []


def test_what_is_said_before_the_answer_is_heard_is_asked_together_with_what_came_before() -> None:
    talk = Talk()
    talk.says("Where is my order")
    talk.writes("Let me see about it. ")

    assert talk.hears("and") == ["user starts", "hush"]
    assert talk.closes("and when does it come?") == ["user stops", "user said: and when does it come?", "ask 2"]
    assert talk.messages() == [("user", "Where is my order | and when does it come?")]


def test_a_cough_before_the_answer_does_not_swallow_the_question() -> None:
    talk = Talk()
    talk.says("Where is my order?")

    assert talk.hears("hm") == ["user starts", "hush"]
    assert talk.closes("") == ["user stops", "ask 2"]
    assert talk.messages() == [("user", "Where is my order?")]


def test_a_cough_in_the_middle_of_an_answer_is_not_answered() -> None:
    talk = Talk()
    talk.says("Tell me a story.")
    talk.writes("Once upon a time there was a king. ")
    talk.sounds(2.0)
    talk.hears("hm")

    assert talk.closes("") == ["user stops"]
    assert len(talk.asked) == 1


def test_what_is_said_while_a_tool_runs_is_asked_with_its_result() -> None:
    talk = Talk()
    talk.says("Where is my order?")
    talk.calls("use-1")
    talk.ends()

    assert talk.says("Are you there?") == ["user starts", "user stops", "user said: Are you there?"]
    assert talk.answers("use-1") == ["ask 2"]
    assert talk.messages() == [
        ("user", "Where is my order?"),
        ("assistant", '<use-1 {"id": 7}>'),
        ("user", '<use-1 = {"ok": true}> | Are you there?'),
    ]


def test_a_result_waits_for_the_end_of_what_the_user_says() -> None:
    talk = Talk()
    talk.says("Where is my order?")
    talk.calls("use-1")
    talk.ends()
    talk.hears("Are")

    assert talk.answers("use-1") == []
    assert talk.closes("Are you there?") == ["user stops", "user said: Are you there?", "ask 2"]


def test_a_result_is_answered_after_a_cough() -> None:
    talk = Talk()
    talk.says("Where is my order?")
    talk.calls("use-1")
    talk.ends()
    talk.hears("hm")
    talk.answers("use-1")

    assert talk.closes("") == ["user stops", "ask 2"]


def test_an_interruption_leaves_a_tool_running() -> None:
    talk = Talk()
    talk.says("Where is my order?")
    talk.writes("One moment, please. ")
    talk.calls("use-1")
    talk.ends()
    talk.speaks(4.0)
    talk.waits(2.0)

    assert talk.hears("Hur") == ["user starts", "assistant said: interrupted!", "assistant said: One"]
    assert talk.closes("Hurry up.") == ["user stops", "user said: Hurry up."]
    assert talk.answers("use-1") == ["ask 2"]
    assert talk.messages() == [
        ("user", "Where is my order?"),
        ("assistant", 'One | <use-1 {"id": 7}>'),
        ("user", '<use-1 = {"ok": true}> | Hurry up.'),
    ]


def test_an_answer_without_words_ends_the_turn() -> None:
    talk = Talk()
    talk.says("Say nothing.")

    assert talk.ends() == ["usage 10/5", "audio", "audio END_TURN"]
    talk.says("Why not?")
    assert talk.messages() == [("user", "Say nothing. | Why not?")]


def test_a_sentence_without_a_sound_is_told_all_the_same() -> None:
    talk = Talk()
    talk.says("Hello there")
    talk.writes("Good morning, Anna. ")
    talk.ends()

    assert talk.has_spoken() == [
        "assistant plans: Good morning, Anna.",
        "audio",
        "audio END_TURN",
        "assistant said: Good morning, Anna.",
    ]


def test_a_marker_is_not_spoken() -> None:
    talk = Talk()
    talk.says("Hello there")

    assert talk.writes("Good morning, Anna. ") == ["speak: Good morning, Anna."]
    talk.writes("[FINAL]")
    talk.ends()
    assert talk.speaks(1.0)[-1] == "audio END_TURN"


def test_a_typed_turn_is_answered_and_interrupts() -> None:
    talk = Talk()

    assert talk.types("Tell me a story.") == ["completion", "user said: Tell me a story.", "ask 1"]
    talk.writes("Once upon a time there was a king. ")
    talk.sounds(2.0)
    talk.waits(1.0)
    assert talk.types("Stop it.") == [
        "hush",
        "audio INTERRUPTED",
        "assistant said: interrupted!",
        "assistant said: Once upon a time",
        "user said: Stop it.",
        "ask 2",
    ]


def test_the_turn_is_over_when_the_pause_after_it_is() -> None:
    talk = Talk(replace(OPENING, endpointing=Endpointing.LOW))
    talk.hears("I would")

    assert talk.closes("I would like") == []
    assert talk.waits(0.5) == []
    assert talk.hears("to ord") == []
    assert talk.closes("to order a book.") == []
    assert talk.waits(1.0) == ["user stops", "user said: I would like to order a book.", "ask 1"]


def test_a_stretch_that_the_recogniser_never_closes_is_taken_as_it_is() -> None:
    talk = Talk()
    talk.hears("Where is my order")

    assert talk.waits(5.0) == ["user stops", "user said: Where is my order", "ask 1"]
    assert talk.closes("Where is my order?") == []


def test_history_is_told_first_and_begins_with_the_user() -> None:
    talk = Talk(with_history(("ASSISTANT", "Hello!"), ("USER", "I am Anna."), ("ASSISTANT", "Good morning, Anna.")))
    talk.says("Who am I?")

    assert talk.asked[0].request.system == "You are Carlos."
    assert talk.asked[0].request.tools == OPENING.tools
    assert talk.messages() == [("user", "I am Anna."), ("assistant", "Good morning, Anna."), ("user", "Who am I?")]


def test_tokens_add_up() -> None:
    talk = Talk()
    talk.says("Hello there")
    talk.ends(10, 5)
    talk.says("Hello again")
    talk.ends(20, 6)
    totals = [event.total for event in talk.events() if isinstance(event, UsageEvent)]

    assert [(total.input_text, total.output_text) for total in totals] == [(10, 5), (30, 11)]


def test_the_end_of_the_stream_tells_what_was_said() -> None:
    talk = Talk()
    talk.says("Hello there")
    talk.writes("Good morning, Anna. How are you today? ")
    talk.speaks(1.0)
    talk.steps += (ended := talk.turns.finish())
    kinds = [type(step).__name__ for step in ended]

    assert kinds[0] == "Hush"
    assert kinds[-1] == "CompletionEnd"
    assert not any(isinstance(step, ContentStarted) and step.type is ContentType.AUDIO for step in ended)
