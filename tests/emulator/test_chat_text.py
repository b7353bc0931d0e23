"""Pieces of text: server-sent events, and the sentences that are spoken."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_sonic_local.brains.chat_settings import ChatSettings
from nova_sonic_local.brains.sentences import LONGEST, Sentences
from nova_sonic_local.brains.server_sent_events import LARGEST_EVENT_BYTES, EventDecoder, EventTooLarge

STREAM = b": hello\r\ndata: one\r\n\r\ndata:two\ndata: lines\n\nevent: x\nid: 3\n\n\rdata: three\r\rdata: not ended"


def sentences(*pieces: str) -> list[str]:
    cutter = Sentences()
    return [sentence for piece in pieces for sentence in cutter.feed(piece)] + cutter.finish()


@given(st.lists(st.integers(0, len(STREAM))))
def test_events_are_read_however_they_are_cut(cuts: list[int]) -> None:
    decoder, borders = EventDecoder(), [0, *sorted(cuts), len(STREAM)]
    events = [event for start, end in pairwise(borders) for event in decoder.feed(STREAM[start:end])]

    assert events == [b"one", b"two\nlines", b"three"]


def test_an_event_without_end_is_refused() -> None:
    decoder = EventDecoder()
    for _ in range(3):
        assert decoder.feed(b"data: " + b"x" * (LARGEST_EVENT_BYTES // 4) + b"\n") == []

    with pytest.raises(EventTooLarge):
        decoder.feed(b"x" * (LARGEST_EVENT_BYTES // 2))


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("How are you today? I am fine.", ["How are you today?", "I am fine."]),
        ("Yes. It costs 3.5 euros at Dr. Smith's. Good", ["Yes. It costs 3.5 euros at Dr. Smith's.", "Good"]),
        ('She said "come here!" and left at 8 p.m. today.', ['She said "come here!"', "and left at 8 p.m.", "today."]),
        ("**Two** things:\n- `one` apple\n- two pears\n", ["Two things:", "one apple", "two pears"]),
        ("# Weather\nIt is grey outside.", ["Weather It is grey outside."]),
        ("今日は天気がいいですね、本当に。明日は雨です。", ["今日は天気がいいですね、本当に。", "明日は雨です。"]),
        ("<think>They greet me. I greet back.</think>\n\nGood morning to you!", ["Good morning to you!"]),
        ("<think>I never stop thinking. Never.", []),
        ("<thanks> are due", ["<thanks> are due"]),
        ("<th", ["<th"]),
        ("  \n ", []),
        ("", []),
    ],
)
def test_text_is_cut_into_sentences_however_it_arrives(text: str, spoken: list[str]) -> None:
    assert sentences(text) == spoken
    assert sentences(*text) == spoken


def test_an_endless_sentence_is_cut_at_a_comma_or_a_space() -> None:
    words = sentences("word " * 200)
    clauses = sentences("one clause, " * 60)

    assert [all(len(part) <= LONGEST for part in parts) for parts in (words, clauses)] == [True, True]
    assert " ".join(words).split() == ["word"] * 200
    assert all(part.endswith(",") for part in clauses)
    assert max(map(len, sentences("x" * 1000))) == LONGEST


@given(st.text(alphabet="ab .!?\n*<>/think,", max_size=400), st.lists(st.integers(0, 400)))
def test_cutting_loses_no_letters(text: str, cuts: list[int]) -> None:
    borders = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(borders)]

    assert "".join(sentences(*pieces)).replace(" ", "") == "".join(sentences(text)).replace(" ", "")


@pytest.mark.parametrize(
    ("url", "model", "key", "complaint"),
    [
        ("localhost:11434", "m", "", "--chat-url: must be a URL"),
        ("ftp://h/v1", "m", "", "--chat-url: must be a URL"),
        ("http://user:pass@h/v1", "m", "", "must have no user"),
        ("http://h/v1?key=1", "m", "", "no query"),
        ("http://h/v1", "", "", "--chat-model"),
        ("http://h/v1", "m", "two\nlines", "one line of printable ASCII"),
    ],
)
def test_settings_that_cannot_be_used_are_named(url: str, model: str, key: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ChatSettings(url, model, key)


@pytest.mark.parametrize(
    ("transcription_url", "key"),
    [("", "secret"), ("https://h/audio/v1", "secret"), ("http://h/v1", ""), ("https://h:8000/v1", ""), ("https://other/v1", "")],
)
def test_no_other_server_gets_the_key(transcription_url: str, key: str) -> None:
    settings = ChatSettings("https://h/v1", "m", "secret", transcription_model="w", transcription_url=transcription_url)

    assert settings.hearing_key == key


def test_settings_do_not_show_their_key() -> None:
    assert "secret" not in repr(ChatSettings("http://h/v1", "m", "secret"))
