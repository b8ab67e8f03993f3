"""Task that mails a sign-in code. The digits are generated here, so that only their digest is ever stored."""

from django_tasks import task

from users import people
from users.factors import challenges
from users.factors.models import Challenge
from users.mail.tasks import deliver
from users.models import User


@task()
def send_email_code(email: str, challenge: str, language: str = "") -> None:
    """Generate and mail the digits of a challenge (given by its digest) if the address belongs to a user."""
    user = people.of(email.strip()).filter(is_active=True).first()
    if user is None or not user.email:
        return
    code = _write(challenge, user)
    if code is not None:
        deliver(user, "email_code", language=language, context={"code": code})


def password_of(user: User) -> str:
    """Return the value that binds a code to the current password: a new password invalidates the code."""
    return user.password_changed_at.isoformat() if user.password_changed_at else ""


def _write(digest: str, user: User) -> str | None:
    """Store a new code's digest and its user and return the code; None if the challenge has ended."""
    code = challenges.new_code()
    row = Challenge.objects.filter(pk=digest).first()
    if row is None:
        return None
    row.user_id, row.code = user.pk, challenges.code_digest(code, digest)
    row.data = {**row.data, "email": user.email, "password_of": password_of(user)}
    row.save(update_fields=["user", "code", "data"])
    return code
