"""Which published keys are used."""

from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import RSAAlgorithm

from auth.key_set import KEYS_LIMIT, KeySetUnusable, parse_key_set
from tests.auth.doubles import key_set
from tests.auth.issuer import jwk, key


def weak() -> dict[str, Any]:
    return RSAAlgorithm.to_jwk(generate_private_key(65_537, 1_024).public_key(), as_dict=True)


def body(*entries: object) -> bytes:
    return orjson.dumps({"keys": list(entries)})


def test_every_key_is_found_by_its_name() -> None:
    keys = parse_key_set(key_set(1, 2))

    assert set(keys) == {"key-1", "key-2"}
    assert keys["key-2"].public_numbers() == key(2).public_key().public_numbers()


def test_what_is_no_key_for_signatures_is_left_out() -> None:
    others = [
        {**jwk(2), "use": "enc"},
        {**jwk(2), "kty": "EC"},
        {**jwk(2), "alg": "RS512"},
        {"kty": "oct", "kid": "s", "k": "AAAA"},
        "key",
        None,
    ]
    keys = parse_key_set(body(*others, jwk(1)))

    assert set(keys) == {"key-1"}


@pytest.mark.parametrize(
    "change",
    [
        {"n": None},
        {"n": 5},
        {"n": ""},
        {"n": "*"},
        {"n": "AQAB"},
        {"n": "A" * 20_000},
        {"e": None},
        {"e": ["AQAB"]},
        {"e": "AA"},
        {"e": "Ag"},
        {"e": "_" * 40},
        {"kid": None},
        {"kid": 1},
        {"kid": ""},
        {"kid": "a b"},
        {"kid": "k" * 200},
        weak(),
    ],
    ids=str,
)
def test_a_key_that_is_not_sound_is_none(change: dict[str, object]) -> None:
    with pytest.raises(KeySetUnusable):
        parse_key_set(body({**jwk(1), **change}))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'{"keys":null}',
        b'{"keys":{}}',
        b'{"keys":[]}',
        b"\xff",
        b"[" * 60_000,
        body(*[jwk(1)] * (KEYS_LIMIT + 1)),
    ],
    ids=lambda document: document[:20].decode(errors="replace"),
)
def test_what_is_no_set_of_keys_is_refused(document: bytes) -> None:
    with pytest.raises(KeySetUnusable):
        parse_key_set(document)
