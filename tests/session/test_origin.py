"""A session's machine can be made again from its origin."""

import uuid
from itertools import islice

from session.effects import Begin
from session.events import SendText
from session.origin import Names, Origin
from tests.session.doubles import LOOK_UP, MODEL_ID, PLAN

ORIGIN = Origin("session-1", MODEL_ID, PLAN, (LOOK_UP,), "seed", 3.0, 0.5)


def names(seed: str, count: int) -> list[str]:
    return list(islice(iter(Names(seed), ""), count))


def test_names_are_uuids_that_never_come_twice() -> None:
    made = names("a", 1_000) + names("b", 1_000)

    assert len(set(made)) == 2_000
    assert {(4, uuid.RFC_4122)} == {(uuid.UUID(name).version, uuid.UUID(name).variant) for name in made}
    assert made == [str(uuid.UUID(name)) for name in made]


def test_the_same_seed_makes_the_same_names() -> None:
    assert names("seed", 5) == names("seed", 5)


def test_two_machines_of_one_origin_decide_the_same() -> None:
    (first, _), (second, _) = ORIGIN.make(), ORIGIN.make()
    inputs = (Begin(), SendText("hola"))

    assert [first.handle(given, 1.0) for given in inputs] == [second.handle(given, 1.0) for given in inputs]
