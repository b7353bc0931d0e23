"""Whose a connection is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.addresses import MAX_HOPS, client_address, counted_as

PROXY = "10.0.0.9"


@pytest.mark.parametrize(
    ("forwarded", "hops", "expected"),
    [
        (["203.0.113.7"], 0, PROXY),
        ([], 0, PROXY),
        (["203.0.113.7"], 1, "203.0.113.7"),
        (["198.51.100.1, 203.0.113.7"], 1, "203.0.113.7"),
        (["198.51.100.1, 203.0.113.7, 10.0.0.3"], 2, "203.0.113.7"),
        (["198.51.100.1", "203.0.113.7"], 1, "203.0.113.7"),
        (["198.51.100.1,203.0.113.7", "10.0.0.3"], 2, "203.0.113.7"),
        (["203.0.113.7:50123"], 1, "203.0.113.7"),
        (["2001:DB8::0:1"], 1, "2001:db8::1"),
        (["[2001:db8::1]:443"], 1, "2001:db8::1"),
        (["[2001:db8::1]"], 1, "2001:db8::1"),
        (["::ffff:203.0.113.7"], 1, "203.0.113.7"),
    ],
)
def test_entries_are_counted_from_the_right(forwarded: list[str], hops: int, expected: str) -> None:
    assert client_address(PROXY, forwarded, hops) == expected


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize(
    "forwarded",
    [
        [],
        [""],
        ["unknown"],
        ["unknown, unknown, unknown"],
        [",,,"],
        ["203.0.113.256, 203.0.113.256, 203.0.113.256"],
        ["<script>,<script>,<script>"],
        ["1" * 8_000],
        ["[::1, [::1, [::1"],
        ["[::1]x, [::1]x, [::1]x"],
        ["203.0.113.7:port, 203.0.113.7:port, 203.0.113.7:port"],
        ["3405803783, 3405803783, 3405803783"],
    ],
)
def test_a_header_that_is_short_or_malformed_leaves_the_peer(forwarded: list[str], hops: int) -> None:
    assert client_address(PROXY, forwarded, hops) == PROXY


@pytest.mark.req("S2-29")
@given(st.lists(st.text(max_size=40), max_size=5), st.integers(1, 3))
def test_what_a_client_writes_itself_never_counts(lies: list[str], hops: int) -> None:
    seen = ["203.0.113.7", "10.0.0.1", "10.0.0.2"][:hops]

    assert client_address(PROXY, [*lies, ", ".join(seen)], hops) == "203.0.113.7"


@given(st.text(max_size=80), st.lists(st.text(max_size=80), max_size=4), st.integers(0, MAX_HOPS))
def test_nothing_breaks_it_and_no_answer_is_long(peer: str, forwarded: list[str], hops: int) -> None:
    assert len(client_address(peer, forwarded, hops)) <= 60


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:aaaa:bbbb:cccc:dddd", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", ""),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address: str, expected: str) -> None:
    assert counted_as(address) == expected
