"""What the rest of the program knows of authentication."""

from typing import Protocol

from auth.principal import Principal


class TokenRefused(Exception):
    """The token is missing, malformed, forged, expired or another's; the message says which, for the log, and shows nothing of it."""


class TokenOutdated(TokenRefused):
    """The token was good once."""


class OtherUser(TokenRefused):
    """The token is good, and belongs to somebody else than the client says it is."""


class KeysUnavailable(Exception):
    """Nobody can be authenticated now: the keys of the issuer cannot be had."""

    code = "auth_unavailable"


class Authenticator(Protocol):
    """Tells who a client is."""

    @property
    def needs_token(self) -> bool:
        """Whether a client without a token is turned away."""

    async def authenticate(self, token: str, claimed_user: str = "") -> Principal:
        """Return who has this token.

        Args:
            token: as the client sent it; empty when it sent none.
            claimed_user: who the client says it is; believed only where no token is needed, else it must be who the token says.

        Raises:
            TokenRefused: nobody has it.
            KeysUnavailable: that cannot be told now.
        """
