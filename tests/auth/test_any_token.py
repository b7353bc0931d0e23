"""Whatever is sent in place of a token is refused, and nothing else happens."""

from hypothesis import given
from hypothesis import strategies as st

from auth.interfaces import TokenRefused
from tests.auth.doubles import authenticator_of
from tests.auth.issuer import Issuer, kid
from tests.auth.test_tokens import base64url, part

ISSUER = Issuer()
PARTS = ISSUER.token().split(".")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
headers = st.fixed_dictionaries(
    {"alg": st.sampled_from(["RS256", "none", "HS256", "ES256", "RS512"]) | json_values, "kid": st.just(kid(1)) | json_values},
    optional={"crit": json_values, "b64": json_values, "typ": json_values, "jwk": json_values},
)
segments = st.one_of(
    headers.map(part),
    json_values.map(part),
    st.binary(max_size=60).map(base64url),
    st.text(max_size=30),
    st.sampled_from(PARTS),
)


async def refused(token: str) -> bool:
    try:
        await authenticator_of(ISSUER).authenticate(token)
    except TokenRefused:
        return True
    return False


@given(st.text())
async def test_any_text_is_refused(text: str) -> None:
    assert await refused(text)


@given(st.lists(segments, min_size=3, max_size=3))
async def test_parts_that_were_not_signed_together_are_refused(parts: list[str]) -> None:
    assert await refused(".".join(parts)) or parts == PARTS


@given(claims=st.dictionaries(st.sampled_from([*ISSUER.claims(), "nbf", "email", "email_verified", "cognito:groups"]), json_values))
async def test_claims_of_any_kind_are_taken_or_refused(claims: dict[str, object]) -> None:
    token = ISSUER.signed({**ISSUER.claims(), **claims})
    try:
        principal = await authenticator_of(ISSUER).authenticate(token)
    except TokenRefused:
        return

    assert principal.user_id
    assert principal.expires_at is not None
