"""Turn off, from the mail itself, what can be turned off: `List-Unsubscribe` and the link at its foot (RFC 8058).

The link is signed and lasts: it names the person and the address that the mail went to, opens nothing, and turns one
switch off. It acts on POST alone, since mail scanners follow links.
"""

from urllib.parse import urlencode

from django.conf import settings
from django.core import signing
from django.utils.crypto import constant_time_compare, salted_hmac

from users.models import User

SALT = "users.mail.unsubscribing"


def address(user: User, to: str) -> str:
    """Return the page that turns off this person's optional mails; `to` is where the mail goes."""
    ticket = signing.dumps([user.pk, _mark(to)], salt=SALT)
    return f"{settings.PUBLIC_URL}/unsubscribe/?{urlencode({'ticket': ticket})}"


def headers(page: str) -> dict[str, str]:
    if not page:
        return {}
    return {"List-Unsubscribe": f"<{page}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def whose(ticket: str) -> User | None:
    """Return whom the ticket is about, as long as they have the address that it was mailed to."""
    try:
        pk, mark = signing.loads(ticket, salt=SALT)
    except (signing.BadSignature, TypeError, ValueError):
        return None
    user = User.objects.filter(pk=pk, closed_at=None).first()
    return user if user and constant_time_compare(str(mark), _mark(user.email)) else None


def turn_off(user: User) -> None:
    User.objects.filter(pk=user.pk).update(email_notifications=False)


def _mark(email: str) -> str:
    return salted_hmac(SALT, email.lower(), algorithm="sha256").hexdigest()[:16]
