"""Check whether a host is this machine. Imports nothing of Django, since the settings use it."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether a host name or an address, also `[::1]`, is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
