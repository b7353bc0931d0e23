"""A session that was asked to end goes on when the reason is gone, and only then."""

from session.effects import Begin, Drain, Stay, StreamOpened, Tick
from session.events import EndReason, SessionEnded
from session.life_cycle import State
from tests.session.doubles import Conversation, Nova


def leaving(reason: EndReason) -> tuple[Conversation, Nova]:
    """Return a conversation that is to end when the assistant has said what it says."""
    talk, nova = Conversation(), Nova()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.says(*nova.start(), *nova.plans("Hello."), *nova.opens_audio(), *nova.audio(400))
    talk.give(Drain(30.0, reason=reason))
    return talk, nova


def finish(talk: Conversation, nova: Nova) -> list[EndReason]:
    """Let the assistant come to its end and a minute pass; return why the session ended, if it did."""
    talk.says(*nova.closes_audio(), *nova.said("Hello."))
    for _ in range(600):
        talk.listen(0.1)
        talk.give(Tick())
    return [event.reason for event in talk.told if isinstance(event, SessionEnded)]


def test_whose_token_was_renewed_stays() -> None:
    talk, nova = leaving(EndReason.TOKEN_EXPIRED)
    talk.give(Stay(EndReason.TOKEN_EXPIRED))

    assert talk.machine.state is State.ACTIVE
    assert finish(talk, nova) == []


def test_without_that_it_ends() -> None:
    talk, nova = leaving(EndReason.TOKEN_EXPIRED)

    assert finish(talk, nova) == [EndReason.TOKEN_EXPIRED]


def test_what_an_operator_ends_ends_whatever_becomes_of_the_token() -> None:
    talk, nova = leaving(EndReason.OPERATOR)
    talk.give(Stay(EndReason.TOKEN_EXPIRED))

    assert talk.machine.state is State.DRAINING
    assert finish(talk, nova) == [EndReason.OPERATOR]


def test_what_was_not_to_end_goes_on() -> None:
    talk = Conversation()
    talk.give(Begin())
    talk.give(Stay(EndReason.TOKEN_EXPIRED))
    talk.give(StreamOpened(1))

    assert talk.machine.state is State.ACTIVE
