"""Which tokens are taken, and who their owners are."""

import base64
import json
import time
from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from auth.claims import LEEWAY_SECONDS
from auth.cognito import TOKEN_LIMIT
from auth.interfaces import OtherUser, TokenOutdated, TokenRefused
from auth.principal import Role
from tests.auth.doubles import authenticator_of
from tests.auth.issuer import Issuer, jwk, key, kid


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value: object) -> str:
    return base64url(json.dumps(value).encode())


def replaced(token: str, **parts: str) -> str:
    """Return a token with other parts under the same signature."""
    names = ("header", "payload", "signature")
    return ".".join(parts.get(name, old) for name, old in zip(names, token.split("."), strict=True))


def unsigned(issuer: Issuer, alg: str = "none", signature: str = "") -> str:
    return f"{part({'alg': alg, 'kid': kid(1)})}.{part(issuer.claims())}.{signature}"


def signed_with_the_public_key(issuer: Issuer) -> str:
    """Return the classic forgery: what everybody may know, taken for a shared secret."""
    secret = key(1).public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signing = f"{part({'alg': 'HS256', 'kid': kid(1)})}.{part(issuer.claims(groups=['operators']))}"
    return f"{signing}.{base64url(jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(signing.encode(), secret))}"


def signed_by_another(issuer: Issuer, **headers: object) -> str:
    return jwt.encode(issuer.claims(), key(2), "RS256", {"kid": kid(1), **headers})


FORGED: dict[str, Callable[[Issuer], str]] = {
    "nothing": lambda _: "",
    "a space": lambda _: " ",
    "one word": lambda _: "token",
    "two parts": lambda issuer: issuer.token().rpartition(".")[0],
    "four parts": lambda issuer: f"{issuer.token()}.e30",
    "two dots more": lambda issuer: f"{issuer.token()}..",
    "dots alone": lambda _: "..",
    "a space in the middle": lambda issuer: issuer.token().replace(".", ". ", 1),
    "a line end behind": lambda issuer: f"{issuer.token()}\n",
    "letters of another alphabet": lambda issuer: f"{issuer.token()}ñ",
    "letters that base64 passes over": lambda issuer: issuer.token().replace(".", "*.", 1),
    "far too long": lambda issuer: issuer.token(scope="s" * TOKEN_LIMIT),
    "parts that are no JSON": lambda _: "YWJj.YWJj.YWJj",
    "parts that are no base64": lambda _: "a.a.a",
    "a header that is a list": lambda issuer: replaced(issuer.token(), header=part(["RS256"])),
    "a header that is nested without end": lambda issuer: replaced(issuer.token(), header=base64url(b"[" * 4_000)),
    "claims that are nested without end": lambda issuer: replaced(issuer.token(), payload=base64url(b"[" * 4_000)),
    "alg none": unsigned,
    "alg none, and the signature of another token": lambda issuer: unsigned(issuer, signature=issuer.token().split(".")[2]),
    "alg None": lambda issuer: unsigned(issuer, alg="None", signature="AA"),
    "alg NONE": lambda issuer: unsigned(issuer, alg="NONE", signature="AA"),
    "alg that is no text": lambda issuer: replaced(issuer.token(), header=part({"alg": ["RS256"], "kid": kid(1)})),
    "alg missing": lambda issuer: replaced(issuer.token(), header=part({"kid": kid(1)})),
    "HS256 with the public key": signed_with_the_public_key,
    "RS512 with the right key": lambda issuer: jwt.encode(issuer.claims(), key(1), "RS512", {"kid": kid(1)}),
    "PS256 with the right key": lambda issuer: jwt.encode(issuer.claims(), key(1), "PS256", {"kid": kid(1)}),
    "kid of no key": lambda issuer: issuer.token(headers={"kid": "key-9"}),
    "kid missing": lambda issuer: jwt.encode(issuer.claims(), key(1), "RS256"),
    "kid that is no text": lambda issuer: replaced(issuer.token(), header=part({"alg": "RS256", "kid": 1})),
    "kid that is a path": lambda issuer: issuer.token(headers={"kid": "../../dev/null"}),
    "kid without end": lambda issuer: issuer.token(headers={"kid": "k" * 500}),
    "key in the header": lambda issuer: signed_by_another(issuer, jwk=jwk(2)),
    "key from an address in the header": lambda issuer: signed_by_another(issuer, jku="http://127.0.0.1:9/jwks.json"),
    "signed by another key of the same name": signed_by_another,
    "crit": lambda issuer: issuer.token(headers={"crit": ["exp"], "exp": 1}),
    "payload of another": lambda issuer: replaced(issuer.token("ana"), payload=issuer.token("eva").split(".")[1]),
    "payload with a role": lambda issuer: replaced(issuer.token(), payload=part(issuer.claims(groups=["operators"]))),
    "signature of another token": lambda issuer: replaced(issuer.token("ana"), signature=issuer.token("eva").split(".")[2]),
    "signature that is short": lambda issuer: issuer.token()[:-20],
    "iss of another pool": lambda issuer: issuer.token(iss="https://cognito-idp.us-east-1.amazonaws.com/us-east-1_other"),
    "iss with a slash behind": lambda issuer: issuer.token(iss=f"{issuer.url}/"),
    "iss missing": lambda issuer: issuer.token(iss=None),
    "iss that is a list": lambda issuer: issuer.token(iss=[issuer.url]),
    "client_id of another app": lambda issuer: issuer.token(client_id="somebody-else"),
    "client_id missing": lambda issuer: issuer.token(client_id=None),
    "client_id that is a list": lambda issuer: issuer.token(client_id=[issuer.client_id]),
    "aud instead of client_id": lambda issuer: issuer.token(client_id=None, aud=issuer.client_id),
    "token_use id": lambda issuer: issuer.token(token_use="id", aud=issuer.client_id),
    "token_use missing": lambda issuer: issuer.token(token_use=None),
    "token_use refresh": lambda issuer: issuer.token(token_use="refresh"),
    "exp missing": lambda issuer: issuer.token(exp=None),
    "exp that is a text": lambda issuer: issuer.token(exp=str(int(time.time()) + 60)),
    "exp that is true": lambda issuer: issuer.token(exp=True),
    "exp without end": lambda issuer: issuer.token(exp=1e300),
    "exp that is no number": lambda issuer: issuer.token(exp=float("nan")),
    "not yet valid": lambda issuer: issuer.token(nbf=time.time() + 60),
    "nbf that is a text": lambda issuer: issuer.token(nbf="now"),
    "issued in the future": lambda issuer: issuer.token(iat=time.time() + 60),
    "sub missing": lambda issuer: issuer.token(sub=None),
    "sub empty": lambda issuer: issuer.token(sub=""),
    "sub that is a number": lambda issuer: issuer.token(sub=7),
    "sub without end": lambda issuer: issuer.token("u" * 500),
}


@pytest.mark.req("S0-56", "S2-38")
@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
async def test_a_token_that_is_not_the_pools_is_refused(forge: Callable[[Issuer], str]) -> None:
    issuer = Issuer()
    token = forge(issuer)

    with pytest.raises(TokenRefused) as refused:
        await authenticator_of(issuer).authenticate(token)

    assert len(str(refused.value)) < 80
    assert not any(len(piece) > 10 and piece in str(refused.value) for piece in token.split("."))


async def test_the_same_token_is_taken_when_nothing_is_wrong_with_it() -> None:
    issuer = Issuer()
    principal = await authenticator_of(issuer).authenticate(issuer.token("ana"))

    assert principal.user_id == "ana"
    assert principal.roles == frozenset()


async def test_an_expired_token_is_told_from_a_forged_one() -> None:
    issuer = Issuer()

    with pytest.raises(TokenOutdated):
        await authenticator_of(issuer).authenticate(issuer.token(expires_in=-LEEWAY_SECONDS - 1))


async def test_the_clocks_of_issuer_and_server_may_be_a_little_apart() -> None:
    issuer = Issuer()
    now = time.time()
    token = issuer.token(exp=now - LEEWAY_SECONDS + 1, nbf=now + LEEWAY_SECONDS - 1, iat=now + LEEWAY_SECONDS - 1)
    principal = await authenticator_of(issuer, lambda: now).authenticate(token)

    assert principal.expires_at == pytest.approx(now + 1)


async def test_a_token_of_any_of_the_app_clients_is_taken() -> None:
    issuer = Issuer()
    principal = await authenticator_of(issuer).authenticate(issuer.token(client_id="another-client"))

    assert principal.user_id == "ana"


@pytest.mark.parametrize(
    ("claims", "email"),
    [
        ({"email": "Ana@Example.com"}, "ana@example.com"),
        ({"email": "ana@example.com", "email_verified": "true"}, "ana@example.com"),
        ({"email": "ana@example.com", "email_verified": False}, None),
        ({"email": "ana@example.com", "email_verified": "false"}, None),
        ({"email": "ana@example.com", "email_verified": 1}, None),
        ({"email": "ana@example.com", "email_verified": None}, None),
        ({"email_verified": True}, None),
        ({"email": "a" * 300}, None),
    ],
)
async def test_an_address_is_known_when_the_issuer_has_verified_it(claims: dict[str, object], email: str | None) -> None:
    issuer = Issuer(token_use="id")
    token = issuer.signed({**issuer.claims(), "email_verified": True, **claims})
    principal = await authenticator_of(issuer).authenticate(token)

    assert email == principal.email


@pytest.mark.parametrize(
    ("change", "reason"), [({"aud": "somebody-else"}, "aud"), ({"aud": ["test-client"]}, "aud"), ({"token_use": "access"}, "token_use")]
)
async def test_where_id_tokens_are_asked_for_no_other_is_taken(change: dict[str, object], reason: str) -> None:
    issuer = Issuer(token_use="id")

    with pytest.raises(TokenRefused, match=reason):
        await authenticator_of(issuer).authenticate(issuer.signed({**issuer.claims(), **change}))


@pytest.mark.parametrize(
    ("groups", "setting", "roles"),
    [
        (["operators"], "operators", {Role.OPERATOR}),
        (["staff", "operators"], "operators", {Role.OPERATOR}),
        (["Operators"], "operators", set()),
        (["operators"], "admins", set()),
        (["operators"], "", set()),
        ([""], "", set()),
        ("operators", "operators", set()),
        ({"operators": True}, "operators", set()),
    ],
)
async def test_the_group_of_the_operators_gives_their_role(groups: object, setting: str, roles: set[Role]) -> None:
    issuer = Issuer()
    token = issuer.signed({**issuer.claims(), "cognito:groups": groups})
    principal = await authenticator_of(issuer, operators_group=setting).authenticate(token)

    assert roles == principal.roles


@pytest.mark.req("S2-26")
@pytest.mark.parametrize("claim", ["sub-1", "ana"])
async def test_who_says_who_they_are_is_believed_when_the_token_says_the_same(claim: str) -> None:
    issuer = Issuer()
    principal = await authenticator_of(issuer).authenticate(issuer.token("sub-1", username="ana"), claim)

    assert principal.user_id == "sub-1"


@pytest.mark.req("S2-26")
async def test_who_says_that_they_are_somebody_else_is_refused() -> None:
    issuer = Issuer()

    with pytest.raises(OtherUser):
        await authenticator_of(issuer).authenticate(issuer.token("ana"), "eva")
