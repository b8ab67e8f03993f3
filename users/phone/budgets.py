"""Budgets that limit how many SMS are sent: per number, account, IP address, country and in total.

All budgets of one SMS are taken in one transaction, or none is. Each is one conditional UPDATE, always in the same
order, so that exactly the budgeted number of parallel requests succeeds and none deadlocks.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from common import purging, rates
from common.client import address_key
from common.errors import SmsRefused
from users.factors.models import SmsBudget

_TAKE = """
INSERT INTO users_smsbudget AS budget (key, count, ends_at) VALUES (%(key)s, 1, %(end)s)
ON CONFLICT (key) DO UPDATE SET
    count = CASE WHEN budget.ends_at <= %(now)s THEN 1 ELSE budget.count + 1 END,
    ends_at = CASE WHEN budget.ends_at <= %(now)s THEN excluded.ends_at ELSE budget.ends_at END
WHERE budget.ends_at <= %(now)s OR budget.count < %(limit)s
RETURNING count
"""


def take_for_code(*, number: str, country: str, user_id: int, ip_address: str | None) -> None:
    """Count one requested SMS. Raises SmsRefused (429) if any budget is used up."""
    _take(
        [
            ("number_minute", _mark(number)),
            ("number", _mark(number)),
            ("account", str(user_id)),
            ("address", _mark(address_key(ip_address))),
            ("country", country),
            ("all", ""),
        ]
    )


def take_for_notice(*, number: str, country: str) -> None:
    """Count one security notice, apart from codes, so that others cannot use up a user's codes. Raises SmsRefused."""
    _take([("notice", _mark(number)), ("country", country), ("all", "")])


def _mark(value: str) -> str:
    return salted_hmac("users.phone.budgets", value, algorithm="sha256").hexdigest()[:40]


def _take(wanted: Sequence[tuple[str, str]]) -> None:
    now = timezone.now()
    with transaction.atomic():
        for name, whose in wanted:
            rate = rates.parse(settings.SMS_BUDGETS[name])
            if rate is not None and not _take_one(f"{name}:{whose}", limit=rate[0], seconds=rate[1], now=now):
                ends_at = SmsBudget.objects.filter(pk=f"{name}:{whose}").values_list("ends_at", flat=True).first()
                wait = (ends_at - now).total_seconds() if ends_at else rate[1]
                raise SmsRefused(reason=name, retry_after=max(wait, 1))


def _take_one(key: str, *, limit: int, seconds: int, now: datetime) -> bool:
    adapt = connection.ops.adapt_datetimefield_value
    values: dict[str, Any] = {
        "key": key,
        "limit": limit,
        "now": adapt(now),
        "end": adapt(now + timedelta(seconds=seconds)),
    }
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, values)
        return cursor.fetchone() is not None


def ended() -> QuerySet[SmsBudget]:
    return SmsBudget.objects.filter(ends_at__lte=timezone.now())


purging.register("SMS budgets", purging.delete_batch(ended))
