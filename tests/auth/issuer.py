"""An issuer of tokens like a user pool of Amazon Cognito, on this machine: it signs tokens and serves the keys to check them with.

    async with running_issuer() as issuer:
        settings = {"AUTH": "cognito", **issuer.settings}
        token = issuer.token("ana", email="ana@example.com", groups=["operators"])

Without `running_issuer`, `Issuer()` signs tokens and serves nothing.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from tests.loopback import serving

CLIENT_ID = "test-client"
JWKS_PATH = "/.well-known/jwks.json"


@cache
def key(number: int) -> RSAPrivateKey:
    """Return one of the keys of this process; making one takes a tenth of a second."""
    return generate_private_key(65_537, 2_048)


def jwk(number: int) -> dict[str, object]:
    """Return the public half of a key as an issuer publishes it."""
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key(number).public_key(), as_dict=True)
    return {"kty": "RSA", "n": public["n"], "e": public["e"], "alg": "RS256", "use": "sig", "kid": kid(number)}


def kid(number: int) -> str:
    """Return the name of a key."""
    return f"key-{number}"


class Issuer:
    """Signs tokens, and answers for its keys as the test wants.

    Args:
        url: what its tokens name as their issuer.
        client_id: of the app client that the tokens are for.
        token_use: `access` or `id`.
    """

    def __init__(self, url: str = "https://issuer.example", client_id: str = CLIENT_ID, token_use: str = "access") -> None:
        self.url = url
        self.client_id = client_id
        self.token_use = token_use
        self.signing = 1
        """Number of the key that signs."""
        self.published = [1]
        """Numbers of the keys that are served."""
        self.answer: web.Response | None = None
        """What is served instead."""
        self.may_answer = asyncio.Event()
        """While it is clear, nothing is answered."""
        self.may_answer.set()
        self.asked = 0
        """How often the keys were asked for."""

    @property
    def settings(self) -> dict[str, str]:
        """Settings of a server that takes these tokens."""
        known = {"COGNITO_ISSUER": self.url, "COGNITO_CLIENT_IDS": self.client_id, "COGNITO_TOKEN_USE": self.token_use}
        return {"AUTH": "cognito", **known}

    def rotate(self) -> None:
        """Sign with a new key, and publish it beside the others."""
        self.signing += 1
        self.published.append(self.signing)

    def claims(
        self, user_id: str = "ana", *, email: str | None = None, groups: Sequence[str] = (), expires_in: float = 3_600, **more: object
    ) -> dict[str, Any]:
        """Return what a token says; `more` adds claims, replaces them, or with None takes them away."""
        now = time.time()
        own: dict[str, object] = {"iss": self.url, "sub": user_id, "token_use": self.token_use, "iat": int(now), "exp": now + expires_in}
        if self.token_use == "access":
            own |= {"client_id": self.client_id, "username": user_id, "scope": "openid"}
        else:
            own |= {"aud": self.client_id, "cognito:username": user_id}
        if email is not None:
            own |= {"email": email, "email_verified": True}
        if groups:
            own["cognito:groups"] = list(groups)
        return {name: value for name, value in (own | more).items() if value is not None}

    def token(
        self,
        user_id: str = "ana",
        *,
        email: str | None = None,
        groups: Sequence[str] = (),
        expires_in: float = 3_600,
        headers: Mapping[str, object] | None = None,
        **more: object,
    ) -> str:
        """Return a signed token.

        Args:
            user_id: its `sub`.
            email: verified, unless `email_verified` says otherwise.
            groups: of the user pool.
            expires_in: seconds from now; negative for a token that has expired.
            headers: added to the header, or instead of its own.
            **more: claims to add or to replace; None takes one away.
        """
        return self.signed(self.claims(user_id, email=email, groups=groups, expires_in=expires_in, **more), headers)

    def signed(self, claims: Mapping[str, object], headers: Mapping[str, object] | None = None) -> str:
        """Return a token with these claims, whatever they are."""
        payload = json.dumps({name: value for name, value in claims.items() if value is not None}).encode()
        return jwt.PyJWS().encode(payload, key(self.signing), "RS256", {"kid": kid(self.signing), **(headers or {})})

    async def keys(self, _request: web.Request) -> web.Response:
        """Answer who asks for the keys."""
        self.asked += 1
        await self.may_answer.wait()
        if self.answer is not None:
            return web.Response(status=self.answer.status, headers=self.answer.headers, body=self.answer.body)
        return web.json_response({"keys": [jwk(number) for number in self.published]})


@asynccontextmanager
async def running_issuer(token_use: str = "access") -> AsyncIterator[Issuer]:
    """Serve the keys of an issuer on a free port of this machine."""
    issuer = Issuer(token_use=token_use)
    app = web.Application()
    app.router.add_get(JWKS_PATH, issuer.keys)
    async with serving(app) as issuer.url:
        try:
            yield issuer
        finally:
            issuer.may_answer.set()
