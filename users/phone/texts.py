"""Ask for a security notice by SMS, in the caller's transaction, for who wants them."""

from users.models import User
from users.phone import tasks


def ask(user_id: int, kind: str) -> None:
    """Enqueue nothing for most people; the task looks again before it sends."""
    wanted = User.objects.filter(pk=user_id, sms_notifications=True, phone_verified=True).exclude(phone_number="")
    if wanted.exists():
        tasks.send_notice.enqueue(user_id=user_id, kind=kind)
