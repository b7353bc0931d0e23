"""What the tests of authentication share: a clock that stands still, and a pool whose keys are at hand."""

from collections.abc import Callable

import orjson

from auth.claims import TokenRules, TokenUse
from auth.cognito import CognitoAuthenticator
from auth.issuer_keys import IssuerKeys
from tests.auth.issuer import Issuer, jwk


class StillClock:
    """Monotonic seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def key_set(*numbers: int) -> bytes:
    """Return what an issuer publishes."""
    return orjson.dumps({"keys": [jwk(number) for number in numbers]})


def rules_of(issuer: Issuer, **more: str) -> TokenRules:
    return TokenRules(issuer.url, frozenset({issuer.client_id, "another-client"}), TokenUse(issuer.token_use), **more)


def authenticator_of(issuer: Issuer, wall: Callable[[], float] | None = None, operators_group: str = "operators") -> CognitoAuthenticator:
    """Return what takes the tokens of an issuer whose first key is published."""

    async def fetch() -> bytes:
        return key_set(*issuer.published)

    keys = IssuerKeys(fetch, StillClock())
    rules = rules_of(issuer, operators_group=operators_group)
    return CognitoAuthenticator(keys, rules) if wall is None else CognitoAuthenticator(keys, rules, wall)
