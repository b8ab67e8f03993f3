"""Import of users from an earlier project: CSV or JSON lines, with their password hashes."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.contrib.auth.hashers import identify_hasher, make_password
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from users import people
from users.identity import addresses, fields, names
from users.models import User

BATCH = 500
HASH_CHARS = 128  # what the column holds
# Column names of other exports for each of our fields. The first one that a row has is used.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "username": ("username", "user_name", "login", "nickname", "preferred_username", "displayName"),
    "email": ("email", "mail", "email_address"),
    "email_verified": ("email_verified", "emailVerified", "verified"),
    "password": ("password", "password_hash", "passwordHash", "hash"),
    "first_name": ("first_name", "given_name", "firstname"),
    "last_name": ("last_name", "family_name", "lastname"),
    "phone_number": ("phone_number", "phone", "phoneNumber"),
    "language": ("language", "locale"),
    "timezone": ("timezone", "zoneinfo"),
    "is_active": ("is_active", "active"),
    "date_joined": ("date_joined", "created_at", "createdAt"),
    "last_login": ("last_login", "lastLogin", "lastSignedInAt"),
}
_TRUE, _FALSE = {"1", "true", "t", "yes", "y"}, {"0", "false", "f", "no", "n"}
_BCRYPT = re.compile(r"\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{53}")


@dataclass(kw_only=True)
class Report:
    """Result of an import. `problems` are (row number from 1, what is wrong), one for each row that was skipped."""

    rows: int = 0
    imported: int = 0
    without_password: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)


class Unusable(Exception):
    """A row cannot be imported; the message says why."""


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """Read `.csv` with a header, else JSON lines. An invalid line is yielded as {"": fault}."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix.lower() == ".csv":
            head = next((line for line in file if line.strip()), "")
            delimiter = max(",;\t", key=head.count)
            columns = [name.strip() for name in next(csv.reader([head], delimiter=delimiter), [])]
            yield from _csv_rows(file, columns, delimiter)
            return
        for line in file:
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            yield row if isinstance(row, dict) else {"": "is not a JSON object"}


def _csv_rows(lines: Iterator[str], columns: list[str], delimiter: str) -> Iterator[dict[str, Any]]:
    """Read the rows. A broken one (a quote that is not closed) costs its first line: reading goes on at the next."""
    again: list[str] = []  # lines that a broken row took
    taken: list[str] = []

    def read() -> Iterator[str]:
        while (line := again.pop(0) if again else next(lines, None)) is not None:
            taken.append(line)
            yield line

    while True:
        reader = csv.DictReader(read(), columns, delimiter=delimiter, strict=True)
        try:
            for row in reader:
                more = any(row.get(None) or ())
                yield {"": "has more values than there are columns"} if more else row
                taken.clear()
            return
        except csv.Error as error:
            first = next((number for number, line in enumerate(taken) if line.strip()), 0)
            again[:0] = taken[first + 1 :]
            taken.clear()
            yield {"": f"is not CSV: {error}"}


def import_people(
    rows: Iterable[dict[str, Any]], *, dry_run: bool, on_row: Callable[[int], None] = lambda number: None
) -> Report:
    """Create the users of the rows, batch by batch; a row that clashes or is invalid is reported and skipped.

    Existing users are not changed, so that it can be run again. With `dry_run` nothing is written.
    """
    report = Report()
    taken: dict[str, dict[str, int]] = {"username": {}, "look-alike": {}, "email": {}}
    batch: list[tuple[int, User]] = []
    for number, row in enumerate(rows, start=1):
        report.rows = number
        try:
            user, notes = person_of(row)
            _require_free(user, taken, number)
        except Unusable as fault:
            report.problems.append((number, str(fault)))
        else:
            report.notes += [(number, note) for note in notes]
            report.without_password += not user.has_usable_password()
            batch.append((number, user))
        if len(batch) >= BATCH:
            _write(batch, report, dry_run=dry_run)
            batch = []
        on_row(number)
    _write(batch, report, dry_run=dry_run)
    return report


def _write(batch: list[tuple[int, User]], report: Report, *, dry_run: bool) -> None:
    if dry_run or not batch:
        report.imported += len(batch)
        return
    try:
        with transaction.atomic():
            User.objects.bulk_create([user for _number, user in batch])
        report.imported += len(batch)
    except IntegrityError:  # a parallel registration took a name: insert one by one
        for number, user in batch:
            try:
                with transaction.atomic():
                    user.pk = None
                    user.save(force_insert=True)
                report.imported += 1
            except IntegrityError:
                report.problems.append((number, f"{user.username}: taken meanwhile"))


def _require_free(user: User, taken: dict[str, dict[str, int]], number: int) -> None:
    keys = {
        "username": names.skeleton(user.username),
        "look-alike": names.looks(user.username),
        "email": user.email.lower(),
    }
    for what, key in keys.items():
        if key and key in taken[what]:
            raise Unusable(f"{what} clashes with row {taken[what][key]}: {getattr(user, _COLUMN[what])}")
    held = User.objects.filter(username_key=keys["username"]) | User.objects.filter(username_looks=keys["look-alike"])
    if other := held.first():
        raise Unusable(f"username clashes with {other.username} (id {other.pk}): {user.username}")
    if user.email and (other := people.of(user.email).first()):
        raise Unusable(f"email belongs to {other.username} (id {other.pk}): {user.email}")
    for what, key in keys.items():
        taken[what][key] = number


_COLUMN = {"username": "username", "look-alike": "username", "email": "email"}


def person_of(row: dict[str, Any]) -> tuple[User, list[str]]:
    """Return the unsaved user of a row, and notes about changed values. Raises Unusable."""
    if "" in row:
        raise Unusable(str(row[""]))
    row = {str(name).strip().lower(): value for name, value in row.items()}
    if any(_is_broken(value) for value in row.values()):
        raise Unusable("holds half a character (a lone surrogate)")
    given = {name: _first(row, synonyms) for name, synonyms in SYNONYMS.items()}
    notes: list[str] = []
    email = _email(given["email"])
    username = str(given["username"] or email.partition("@")[0] or "").strip()
    if not username or len(names.normalise(username)) > names.MAXIMUM_CHARS or "\0" in username:
        raise Unusable("has no username that could be kept")
    user = User(username=names.normalise(username), email=email)
    user.email_verified = bool(email) and _flag(given["email_verified"], default=False)
    user.is_active = _flag(given["is_active"], default=True)
    user.password, note = _password(given["password"])
    notes += note
    for name in ("first_name", "last_name"):
        setattr(user, name, str(given[name] or "").replace("\0", "").strip()[:150])
    user.phone_number = _phone(given["phone_number"], notes)
    _preferences(user, given, notes)
    user.date_joined = _time(given["date_joined"]) or timezone.now()
    user.last_login = _time(given["last_login"])
    return user, notes


def _first(row: dict[str, Any], synonyms: Iterable[str]) -> Any:
    found = (row.get(name.lower()) for name in synonyms)
    return next((value for value in found if value not in (None, "")), None)


def _is_broken(value: Any) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in str(value))


def _email(value: Any) -> str:
    if not value:
        return ""
    try:
        return addresses.normalise(str(value))
    except Exception:
        raise Unusable(f"email is not one: {value}") from None


def _flag(value: Any, *, default: bool) -> bool:
    if value is None or isinstance(value, bool):
        return default if value is None else value
    text = str(value).strip().lower()
    if text not in _TRUE | _FALSE:
        raise Unusable(f"neither true nor false: {value}")
    return text in _TRUE


def _password(value: Any) -> tuple[str, list[str]]:
    """Return a supported hash; bcrypt of other frameworks gets Django's prefix. A clear-text password is refused."""
    encoded = str(value or "").strip()
    if not encoded or encoded.startswith("!"):
        return make_password(None), []
    if _BCRYPT.fullmatch(encoded):
        encoded = f"bcrypt${encoded.replace('$2y$', '$2b$', 1)}"
    elif encoded.startswith("$argon2"):
        encoded = f"argon2{encoded}"
    try:
        identify_hasher(encoded).decode(encoded)
        if len(encoded) > HASH_CHARS:
            raise ValueError
    except Exception:
        return make_password(None), ["password hash is of no kind that can be checked: a reset is needed"]
    return encoded, []


def _phone(value: Any, notes: list[str]) -> str:
    if not value:
        return ""
    try:
        return fields.PhoneNumberField(allow_blank=True).run_validation(str(value))
    except Exception:
        notes.append(f"phone number left out: {value}")
        return ""


def _preferences(user: User, given: dict[str, Any], notes: list[str]) -> None:
    wishes = {"language": fields.PreferredLanguageField(), "timezone": fields.PreferredTimezoneField()}
    for name, wish in wishes.items():
        if given[name]:
            kept = wish.to_internal_value(str(given[name]))
            if kept:
                setattr(user, name, kept)
            else:
                notes.append(f"{name} is not one of ours: {given[name]}")


def _time(value: Any) -> datetime | None:
    """Read ISO 8601, or seconds or milliseconds since 1970 as Firebase writes them."""
    if value is None:
        return None
    try:
        if str(value).strip().isdecimal():
            number = int(str(value))
            return datetime.fromtimestamp(number / 1000 if number > 10**11 else number, UTC)
        read = parse_datetime(str(value).strip())
    except (ValueError, OverflowError, OSError):
        read = None
    if read is None:
        raise Unusable(f"not a time: {value}")
    try:
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except OverflowError:  # a time of the year 1 or 9999, which its zone moves out of the calendar
        raise Unusable(f"not a time: {value}") from None
