"""Location of an IP address, looked up offline: the country from iptocc's tables, region and city from an mmdb file.

Sources: the registries' delegation files (NRO, CC BY 4.0) through iptocc; `GEOIP_DATABASE` names any MaxMind-format
city file (GeoLite2, DB-IP, their flat rebuilds).
"""

import ipaddress
import os
import threading
import time
from typing import Any

import iptocc
import maxminddb
import structlog
from babel import Locale, UnknownLocaleError
from django.conf import settings
from django.utils.translation import get_language, override

log = structlog.get_logger(__name__)


def lookup(address: str | None) -> dict[str, str | None] | None:
    """Return `{country, region, city}` (country an ISO 3166 code), None for a private or unknown address."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    if not ip.is_global:
        return None
    record = _city.record(str(ip))
    country = _text(record, "country", "iso_code") or record.get("country_code")
    country = country if isinstance(country, str) and country else iptocc.country_code(str(ip))
    if not country:
        return None
    return {
        "country": country,
        "region": _region(record),
        "city": _text(record, "city", "names", "en") or _plain(record.get("city")),
    }


def warm() -> None:
    """Load the tables at start-up."""
    lookup("9.9.9.9")
    for language, _name in settings.LANGUAGES:
        with override(language):
            country_name("DZ")


def described(location: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a stored location as the API shows it, with `country_name` in the reader's language."""
    if not location:
        return None
    return {
        "country": location.get("country"),
        "country_name": country_name(location.get("country")),
        "region": location.get("region"),
        "city": location.get("city"),
    }


def country_name(code: str | None) -> str | None:
    """Return the country's name in the active language from Unicode's CLDR; the code itself if CLDR has none."""
    if not code:
        return None
    try:
        locale = Locale.parse((get_language() or "en").replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        locale = Locale("en")
    return locale.territories.get(code, code)


def _text(record: dict[str, Any], *path: str) -> str | None:
    value: Any = record
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return _plain(value)


def _plain(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _region(record: dict[str, Any]) -> str | None:
    """Return MaxMind's `subdivisions[0].names.en`, or the flat `state1` / `region` of the rebuilds."""
    subdivisions = record.get("subdivisions")
    if isinstance(subdivisions, list) and subdivisions and isinstance(subdivisions[0], dict):
        return _text(subdivisions[0], "names", "en")
    return _plain(record.get("state1")) or _plain(record.get("region"))


class _CityFile:
    """Reader of the `GEOIP_DATABASE` file, reopened when it changes. If missing or broken: no record, one log line."""

    RECHECK_SECONDS = 5.0

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reader: maxminddb.Reader | None = None
        self.opened: tuple[str, int, int] | None = None
        self.checked = 0.0

    def record(self, address: str) -> dict[str, Any]:
        path = settings.GEOIP_DATABASE
        if not path:
            return {}
        with self.lock:
            if self.opened is None or self.opened[0] != path or time.monotonic() - self.checked > self.RECHECK_SECONDS:
                self._open(path)
            reader = self.reader
        if reader is None:
            return {}
        try:
            found = reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError) as error:
            log.warning("geoip.unreadable", error=type(error).__name__)
            return {}
        return found if isinstance(found, dict) else {}

    def _open(self, path: str) -> None:
        self.checked = time.monotonic()
        try:
            stat = os.stat(path)
            stamp = (path, stat.st_mtime_ns, stat.st_ino)
            if stamp == self.opened:
                return
            # In memory: a mapped file that is replaced or truncated would kill the process with SIGBUS.
            self.reader = maxminddb.open_database(path, maxminddb.MODE_MEMORY)
            self.opened = stamp
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            log.warning("geoip.unavailable", error=type(error).__name__)
            self.reader, self.opened = None, (path, 0, 0)


_city = _CityFile()
