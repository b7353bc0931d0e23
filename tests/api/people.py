"""People whose tokens are their names, and what they ask."""

from typing import Any

from aiohttp import ClientSession

from auth.interfaces import TokenRefused
from auth.principal import Principal, Role

PEOPLE = {
    "op": Principal("op", roles=frozenset({Role.OPERATOR})),
    "ada": Principal("ada", "ada@email.com"),
    "ana": Principal("ana", "ana@email.com"),
    "eva": Principal("eva", "eva@email.com"),
    "nobody": Principal(""),
}


class NamedPeople:
    """Knows people by their names."""

    needs_token = True

    async def authenticate(self, token: str, claimed_user: str = "") -> Principal:
        """Return who has this name."""
        if token not in PEOPLE:
            raise TokenRefused("unknown")
        return PEOPLE[token]


async def ask(port: int, method: str, path: str, who: str, **more: Any) -> tuple[int, Any]:
    """Return the status and the body of an answer; an empty name brings no token."""
    headers = {"Authorization": f"Bearer {who}"} if who else {}
    address = f"http://127.0.0.1:{port}{path}"
    async with ClientSession() as client, client.request(method, address, headers=headers, **more) as answer:
        return answer.status, await answer.json()
