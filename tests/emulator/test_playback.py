"""What the listener has heard."""

from nova_sonic_local.playback import Playback


def test_pieces_play_one_after_another() -> None:
    playback = Playback()
    first = playback.begin(10.0, "first", "a")
    playback.add(10.0, first, 1.0)
    playback.add(10.1, first, 1.0)
    second = playback.begin(10.2, "second", "a")
    playback.add(10.2, second, 1.0)

    assert (first.starts, first.ends, second.starts, second.ends) == (10.0, 12.0, 12.0, 13.0)
    assert playback.is_playing(12.9)
    assert not playback.is_playing(13.0)


def test_a_piece_that_comes_late_plays_when_it_comes() -> None:
    playback = Playback()
    sentence = playback.begin(10.0, "text", "a")
    playback.add(10.0, sentence, 1.0)
    playback.add(15.0, sentence, 1.0)

    assert sentence.ends == 16.0


def test_the_heard_text_is_in_whole_words() -> None:
    playback = Playback()
    sentence = playback.begin(0.0, "one two three four", "a")
    playback.add(0.0, sentence, 4.0)

    assert [sentence.heard(now) for now in (0.0, 0.9, 1.0, 2.5, 3.9, 4.0)] == [
        "",
        "",
        "one",
        "one two",
        "one two three",
        "one two three four",
    ]


def test_played_sentences_are_given_out_once() -> None:
    playback = Playback()
    for text in ("first", "second"):
        playback.add(0.0, playback.begin(0.0, text, "a"), 1.0)

    assert [sentence.text for sentence in playback.finished(1.5)] == ["first"]
    assert playback.next_end() == 2.0
    assert [sentence.text for sentence in playback.finished(2.0)] == ["second"]
    assert playback.next_end() is None


def test_a_flush_stops_the_player() -> None:
    playback = Playback()
    playback.add(0.0, playback.begin(0.0, "text", "a"), 5.0)

    assert [sentence.text for sentence in playback.flush(1.0)] == ["text"]
    assert not playback.is_playing(1.0)
    assert playback.finished(9.0) == []
