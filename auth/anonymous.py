"""Nobody is asked who they are: for development on one machine, and for demonstrations in a closed network."""

from auth.principal import Principal, Role


class AnonymousAuthenticator:
    """Takes everybody for a developer, under the name that they give themselves."""

    needs_token = False

    async def authenticate(self, token: str, claimed_user: str = "") -> Principal:  # noqa: ARG002 - the interface's; no token is looked at
        """Return somebody who may do everything."""
        return Principal(claimed_user, roles=frozenset({Role.OPERATOR}))
