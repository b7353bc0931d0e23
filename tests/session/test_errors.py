"""The catalogue of errors that a client can see."""

from collections.abc import Iterator

import pytest

from s2s import failures
from session.errors import ClientError, InternalError, ModelLost, ModelRefused, NotAllowed, SessionError, TooMany, model_failure
from session.events import SessionFailed

CLOSE_CODES = {1000, 1008, 1009, 1011, 1012, 1013, 4401, 4403, 4408, 4429}


def family(base: type[SessionError]) -> Iterator[type[SessionError]]:
    yield base
    for child in base.__subclasses__():
        yield from family(child)


@pytest.mark.parametrize("kind", list(family(SessionError)), ids=lambda kind: kind.__name__)
def test_every_error_is_complete(kind: type[SessionError]) -> None:
    event = kind().event("ref-1")

    assert event == SessionFailed(kind.code, kind.message, kind.retryable, "ref-1", kind.waits)
    assert kind.retryable or kind.waits is None
    assert event.message.endswith(".")
    assert kind.close_code in CLOSE_CODES
    assert 400 <= kind.status < 600


def test_only_our_own_bugs_and_a_lost_model_close_with_1011() -> None:
    own = [kind for kind in family(SessionError) if kind.__module__ == "session.errors"]  # others never close a socket
    with_1011 = {kind.code for kind in own if kind.close_code == 1011}

    assert with_1011 == {"internal", "model_lost", "model_refused"} | {"model_unreachable"}
    assert not any(issubclass(kind, ClientError) for kind in own if kind.close_code == 1011)


def test_a_message_of_its_own_replaces_that_of_the_class() -> None:
    assert NotAllowed("No such voice.").event() == SessionFailed("not_allowed", "No such voice.", retryable=False)


def test_a_time_of_its_own_replaces_that_of_the_class() -> None:
    assert (TooMany().event().retry_after, TooMany(retry_after=60).event().retry_after) == (TooMany.waits, 60)


def test_every_failure_of_the_model_has_something_to_tell() -> None:
    codes = {failure.code for failure in vars(failures).values() if isinstance(failure, failures.Failure)}
    told = {code: model_failure(code) for code in codes}

    assert isinstance(told["model_validation"], ModelRefused)
    assert isinstance(model_failure("never heard of"), ModelLost)
    assert not any(isinstance(error, InternalError) for error in told.values())
