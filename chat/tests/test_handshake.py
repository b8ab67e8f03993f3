"""Which pages may open a socket; what is sent over the wire is tested against live servers in tests/test_socket.py."""

import pytest

from chat.socket import handshake


def refused(origin: str, host: str) -> bool:
    headers = [(b"host", host.encode()), (b"origin", origin.encode())]
    return handshake.is_refused({"subprotocols": ["access_token", "x"], "query_string": b"", "headers": headers})


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://app.example.com", "chat.example.com"),  # allowed
        ("https://chat.example.com", "chat.example.com"),  # its own host
        ("https://chat.example.com", "chat.example.com:443"),  # a proxy that writes the port
        ("http://chat.example.com", "chat.example.com:80"),
        ("https://public.example.com", "10.0.0.7:8000"),  # a proxy that writes its upstream
        ("http://localhost:8000", "localhost:8000"),
        ("capacitor://localhost", "chat.example.com"),  # web views of apps
        ("ionic://localhost", "chat.example.com"),
    ],
)
def test_allowed_pages_and_our_own_may(settings, origin, host):
    settings.ALLOWED_ORIGINS = ["https://app.example.com", "capacitor://localhost", "ionic://localhost"]
    settings.PUBLIC_URL = "https://Public.example.com/chat"
    assert not refused(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "chat.example.com"),
        ("https://chat.example.com:8443", "chat.example.com"),
        ("https://chat.example.com", "chat.example.com:80"),
        ("https://chat.example.com.evil.example", "chat.example.com"),
        ("http://public.example.com", "10.0.0.7:8000"),  # not as we are known
        ("file://chat.example.com", "chat.example.com"),
        ("null", "chat.example.com"),
        ("capacitor://localhost", "chat.example.com"),  # not allowed by this server
        ("capacitor://localhost", "localhost"),
        ("", "chat.example.com"),
        ("http://[::1", "chat.example.com"),  # what cannot be parsed
        ("http://[", "chat.example.com"),
        ("https://chat.example.com/path", "chat.example.com"),
        ("https://a@chat.example.com", "chat.example.com"),
    ],
)
def test_pages_of_others_may_not(settings, origin, host):
    settings.ALLOWED_ORIGINS = ["https://app.example.com"]
    settings.PUBLIC_URL = "https://public.example.com"
    assert refused(origin, host)


@pytest.mark.parametrize(
    ("hosts", "is_refused"),
    [
        (["chat.example.com"], False),
        (["chat.example.com:8443"], False),
        (["CHAT.example.com."], False),
        (["a.example.org"], False),
        ([], False),  # no browser leaves it out
        (["evil.example"], True),
        (["chat.example.com.evil.example"], True),
        (["chat.example.com", "evil.example"], True),
        ([""], True),
        (["chat.example.com@evil.example"], True),
    ],
)
def test_the_host_must_be_an_allowed_one(settings, hosts, is_refused):
    settings.ALLOWED_HOSTS = ["chat.example.com", ".example.org"]
    headers = [(b"host", host.encode()) for host in hosts]
    scope = {"subprotocols": ["access_token", "x"], "query_string": b"", "headers": headers}
    assert handshake.is_refused(scope) is is_refused
