"""What a token of Amazon Cognito has to say, and who its owner is. Pure: its signature was checked before, and `now` is given.

Sources: the developer guide of Amazon Cognito, "Verifying JSON web tokens", and RFC 8725, "JSON Web Token Best Current Practices".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from auth.interfaces import OtherUser, TokenOutdated, TokenRefused
from auth.principal import Principal, Role

LEEWAY_SECONDS: Final = 10
"""How far the issuer's clock and ours may be apart."""
_NAME_LIMIT: Final = 128
_EMAIL_LIMIT: Final = 254
_LATEST: Final = 2**40
"""No date of a token is beyond it: it is far enough, and a float holds every second of it."""


class TokenUse(StrEnum):
    """Which of its two tokens Cognito wants to be sent to whom."""

    ACCESS = "access"
    ID = "id"


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What is asked of a token."""

    issuer: str
    client_ids: frozenset[str]
    token_use: TokenUse = TokenUse.ACCESS
    operators_group: str = ""
    """Whose members are operators; empty for nobody."""


def principal_of(claims: Mapping[str, object], rules: TokenRules, now: float, claimed_user: str = "") -> Principal:
    """Return whose claims these are.

    Args:
        claims: of a token whose signature is good.
        rules: what is asked of it.
        now: seconds since 1970.
        claimed_user: who the client says it is; empty if it does not.

    Raises:
        TokenRefused: something that is asked for is not there.
    """
    if claims.get("iss") != rules.issuer:
        raise TokenRefused("iss is another issuer")
    if claims.get("token_use") != rules.token_use.value:
        raise TokenRefused("token_use is another one")
    whose = "client_id" if rules.token_use is TokenUse.ACCESS else "aud"
    client = claims.get(whose)
    if not isinstance(client, str) or client not in rules.client_ids:
        raise TokenRefused(f"{whose} is another app client")
    expires_at = _seconds(claims, "exp")
    if "nbf" in claims and _seconds(claims, "nbf") > now + LEEWAY_SECONDS:
        raise TokenRefused("nbf is in the future")
    if "iat" in claims and _seconds(claims, "iat") > now + LEEWAY_SECONDS:
        raise TokenRefused("iat is in the future")
    if expires_at + LEEWAY_SECONDS <= now:
        raise TokenOutdated("exp is in the past")
    user_id = claims.get("sub")
    if not isinstance(user_id, str) or not 0 < len(user_id) <= _NAME_LIMIT:
        raise TokenRefused("sub names nobody")
    if claimed_user and claimed_user not in {user_id, claims.get("username"), claims.get("cognito:username")}:
        raise OtherUser("the client says that it is somebody else")
    return Principal(user_id, _email(claims), _roles(claims, rules.operators_group), float(expires_at + LEEWAY_SECONDS))


def _seconds(claims: Mapping[str, object], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LATEST:
        raise TokenRefused(f"{name} is no date")
    return value


def _email(claims: Mapping[str, object]) -> str | None:
    """Return the address if the issuer has seen that it is the user's own, in small letters."""
    email = claims.get("email")
    is_verified = claims.get("email_verified") is True or claims.get("email_verified") == "true"
    return email.strip().lower() if is_verified and isinstance(email, str) and 0 < len(email) <= _EMAIL_LIMIT else None


def _roles(claims: Mapping[str, object], operators_group: str) -> frozenset[Role]:
    groups = claims.get("cognito:groups")
    is_operator = bool(operators_group) and isinstance(groups, list) and operators_group in groups
    return frozenset({Role.OPERATOR}) if is_operator else frozenset()
