"""Which pages may connect."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.origins import OriginPolicy

HOST = ["voice.example:8081"]


@pytest.mark.parametrize(
    ("origin", "allows"),
    [
        ("http://voice.example:8081", True),
        ("https://voice.example:8081", True),
        ("HTTP://Voice.Example:8081", True),
        ("http://localhost:5173", True),
        ("http://127.0.0.1", True),
        ("http://[::1]:3000", True),
        ("null", False),
        ("", False),
        ("http://voice.example", False),
        ("http://voice.example:8082", False),
        ("http://evil.example", False),
        ("http://voice.example.evil.example:8081", False),
        ("http://evilvoice.example:8081", False),
        ("http://voice.example:8081@evil.example", False),
        ("http://evil.example@voice.example:8081", False),
        ("http://voice.example:8081/", False),
        ("http://voice.example:8081?x", False),
        ("file://localhost", False),
        ("ws://voice.example:8081", False),
        ("http://localhost.evil.example", False),
        ("http://voice.example:99999", False),
        ("http://[::1", False),
        ("http://voice.example:8081, http://evil.example", False),
    ],
)
def test_by_default_the_own_page_and_this_machine_may_connect(origin: str, *, allows: bool) -> None:
    assert OriginPolicy().allows([origin], HOST) is allows


def test_a_client_that_is_no_browser_may_connect() -> None:
    assert OriginPolicy(["https://a.example"]).allows([], HOST)


def test_default_ports_count_as_written_out() -> None:
    assert OriginPolicy().allows(["https://voice.example"], ["voice.example"])
    assert OriginPolicy().allows(["https://voice.example:443"], ["voice.example"])
    assert not OriginPolicy().allows(["https://voice.example"], ["voice.example:8081"])


def test_a_list_allows_what_is_in_it_alone() -> None:
    policy = OriginPolicy(["https://a.example", "http://b.example:81"])

    assert policy.allows(["https://a.example"], HOST)
    assert policy.allows(["http://B.example:81"], HOST)
    assert not policy.allows(["http://a.example"], HOST)
    assert not policy.allows(["http://voice.example:8081"], HOST)
    assert not policy.allows(["http://localhost"], HOST)


def test_a_star_allows_every_page() -> None:
    assert OriginPolicy(["*"]).allows(["https://anything.example"], HOST)


def test_two_origins_or_two_hosts_are_not_believed() -> None:
    assert not OriginPolicy().allows(["http://localhost", "http://localhost"], HOST)
    assert not OriginPolicy().allows(["http://voice.example:8081"], [*HOST, "evil.example"])


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1", "::1"])
def test_a_server_for_this_machine_alone_believes_no_foreign_name_that_leads_to_it(address: str) -> None:
    policy = OriginPolicy(address=address)

    assert not policy.allows(["http://rebound.example:8081"], ["rebound.example:8081"])
    assert policy.allows(["http://localhost:8081"], ["localhost:8081"])
    assert OriginPolicy(address="0.0.0.0").allows(["http://voice.example:8081"], HOST)


@given(st.text(), st.text())
def test_whatever_the_headers_hold_the_answer_is_yes_or_no(origin: str, host: str) -> None:
    assert OriginPolicy().allows([origin], [host]) in {True, False}
    assert OriginPolicy().allows([f"http://{origin}"], [host]) in {True, False}
