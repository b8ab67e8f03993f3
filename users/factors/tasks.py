"""The mail of a sign-in code: the digits are made when it is written, so that they rest nowhere but as a digest."""

from django_tasks import task

from users import people
from users.factors import challenges
from users.factors.models import Challenge
from users.mail.tasks import deliver
from users.models import User


@task()
def send_email_code(email: str, challenge: str, language: str = "") -> None:
    """Make the digits of a challenge (named by its digest) for the owner of the address, if there is one; mail them."""
    user = people.of(email.strip()).filter(is_active=True).first()
    if user is None or not user.email:
        return
    code = _write(challenge, user)
    if code is not None:
        deliver(user, "email_code", language=language, context={"code": code})


def password_of(user: User) -> str:
    """Return what a code is bound to: it does not outlive the password that it was mailed beside."""
    return user.password_changed_at.isoformat() if user.password_changed_at else ""


def _write(digest: str, user: User) -> str | None:
    """Store the code's digest and whose it is; None where the challenge has ended meanwhile."""
    code = challenges.new_code()
    row = Challenge.objects.filter(pk=digest).first()
    if row is None:
        return None
    row.user_id, row.code = user.pk, challenges.code_digest(code, digest)
    row.data = {**row.data, "email": user.email, "password_of": password_of(user)}
    row.save(update_fields=["user", "code", "data"])
    return code
