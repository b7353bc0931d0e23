"""The message that says who a client is, told from every other."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session.errors import BadFrame
from transports.dialects.auth_messages import MESSAGE_LIMIT_BYTES, TOKEN_LIMIT, accepted, is_auth, token_in


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"auth","token":"a.b.c"}',
        '{ "token" : "a.b.c", "type" : "auth", "more": [1] }',
        '\n{"type":"auth","type":"auth","token":"x","token":"a.b.c"}',
    ],
)
def test_the_token_is_found(frame: str) -> None:
    assert token_in(frame) == "a.b.c"
    assert is_auth(frame)


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":"auth","token":"a.b.c"}',
        "",
        "auth",
        '"auth"',
        '["auth"]',
        '{"type":"hello"}',
        '{"type":"authorise","token":"x"}',
        '{"type":["auth"]}',
        '{"event":{"auth":{"token":"x"}}}',
        '{"type":"text","text":"say \\"auth\\" to me"}',
        '{"type":"auth","token":"x"',
        json.dumps({"type": "auth", "token": "x" * MESSAGE_LIMIT_BYTES}),
        "[" * 5_000 + '"auth"',
    ],
    ids=lambda frame: str(frame[:40]),
)
def test_other_frames_are_none(frame: str | bytes) -> None:
    assert token_in(frame) is None
    assert not is_auth(frame)


@pytest.mark.parametrize("token", [None, 5, True, [], {}, "x" * (TOKEN_LIMIT + 1)])
def test_a_token_that_cannot_be_one_is_told(token: object) -> None:
    with pytest.raises(BadFrame, match="token"):
        token_in(json.dumps({"type": "auth", "token": token}))


@given(st.one_of(st.text(), st.binary(), st.text().map(lambda text: f'{{"type":"auth","token":{text}')))
def test_nothing_else_can_go_wrong(frame: str | bytes) -> None:
    try:
        assert token_in(frame) is None or is_auth(frame)
    except BadFrame:
        assert is_auth(frame)


def test_the_answer_says_whose_it_is_and_until_when() -> None:
    assert json.loads(accepted("ana", 1_790_000_000.5)) == {"type": "auth.accepted", "user_id": "ana", "expires_at": 1_790_000_000.5}
    assert json.loads(accepted("", None)) == {"type": "auth.accepted", "user_id": "", "expires_at": None}
