"""Whose address a request is counted by: what our own proxies saw, never what the client wrote."""

import pytest

from common import client
from common.client import address_key, client_address, plain_address


@pytest.mark.parametrize(
    ("trusted", "forwarded", "expected"),
    [
        (0, "", "10.0.0.1"),
        (0, "6.6.6.6", "10.0.0.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        (2, "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (2, "6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "203.0.113.9:4711", "203.0.113.9"),
        (1, "::ffff:203.0.113.9", "203.0.113.9"),
        (1, "unknown", None),  # the proxy's own address would be everybody's
        (1, "", None),  # past the proxy
        (2, "6.6.6.6", None),  # one proxy, and the client's own word
        (3, "6.6.6.6, 203.0.113.9", None),
        (2, " , ,", None),
    ],
)
def test_the_address_is_what_our_outermost_proxy_saw(settings, trusted, forwarded, expected):
    settings.TRUSTED_PROXY_COUNT = trusted
    assert client_address("10.0.0.1", forwarded) == expected


def test_more_trusted_proxies_than_there_are_is_said_in_the_log_once_a_minute(settings, monkeypatch):
    settings.TRUSTED_PROXY_COUNT = 2
    warned = []
    monkeypatch.setattr(client, "_warned_at", -float("inf"))
    monkeypatch.setattr(client.log, "warning", lambda event, **facts: warned.append((event, facts)))
    for _ in range(5):
        assert client_address("10.0.0.1", "6.6.6.6") is None
    assert warned == [("client.address_unknown", {"trusted_proxy_count": 2, "forwarded_for": 1})]
    monkeypatch.setattr(client, "_warned_at", client._warned_at - client.WARN_SECONDS)
    client_address("10.0.0.1", "6.6.6.6")
    assert len(warned) == 2


def test_unknown_addresses_share_one_key_and_ipv6_counts_by_its_household():
    assert address_key(None) == "-"
    assert address_key("2001:db8::1") == address_key("2001:db8::ffff") != address_key("2001:db8:0:1::1")
    assert plain_address("fe80::1%eth0") == "fe80::1"
