"""Tasks that write and send SMS. A code is generated when its SMS is written, as with mails."""

from typing import Any

import structlog
from django.conf import settings
from django.utils import translation
from django.utils.translation import get_supported_language_variant
from django.utils.translation import gettext as _
from django_tasks import task

from common.errors import SmsRefused, ValidationFailed
from common.tasks import GiveUp
from users import security_events
from users.factors import challenges
from users.factors.models import Challenge
from users.models import User
from users.phone import budgets, numbers, senders

log = structlog.get_logger(__name__)


@task()
def send_code(digest: str) -> None:
    """Generate the code of a phone challenge and send it. Raises SmsNotSent, after which the worker retries."""
    row = Challenge.objects.filter(pk=digest).select_related("user").first()
    if row is None or row.user is None:
        return
    code = challenges.new_code()
    row.code = challenges.code_digest(code, digest)
    row.save(update_fields=["code"])
    with translation.override(_language(row.user)):
        text = _("%(code)s is your code for %(site)s. It works once, for 10 minutes. Tell it to nobody.")
        _send(row.data["number"], text % {"code": code, "site": settings.RP_NAME}, user_id=row.user.pk, kind="code")


@task()
def send_notice(user_id: int, kind: str) -> None:
    """Send a notice of a security event, if the user wants that and the number is verified."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or not (user.sms_notifications and user.phone_verified and user.phone_number):
        return
    try:
        mobile = numbers.mobile(user.phone_number)
        budgets.take_for_notice(number=mobile.number, country=mobile.country)
    except (SmsRefused, ValidationFailed) as error:
        log.info("sms.notice_dropped", user_id=user_id, kind=kind, reason=error.reason or error.code)
        return
    with translation.override(_language(user)):
        text = _("%(site)s: %(what)s. If this was not you, choose a new password now.")
        what = str(security_events.KINDS.get(kind, kind))
        _send(mobile.number, text % {"site": settings.RP_NAME, "what": what}, user_id=user_id, kind=kind)


def _send(number: str, text: str, **facts: Any) -> None:
    sender = senders.sender()
    if sender is None:
        return
    try:
        sender.send(number, text)
    except senders.SmsRejected as error:
        raise GiveUp(f"sms: {error}") from None
    log.info("sms.sent", **facts)


def _language(user: User) -> str:
    try:
        return get_supported_language_variant(user.language)
    except LookupError:
        return "en"
