"""Ask for a mail. The asking is a row in the caller's transaction; the mail is written and sent by a task.

The arguments of a task name the person and the purpose. A secret is made when the mail is written (`users/tasks.py`),
so that it rests nowhere but as a digest. A mail that cannot be sent never fails or slows the request that asked for it.
"""

from typing import Any

from users.mail import letters, tasks


def send(user_id: int, name: str, *, to: str = "", language: str = "", **context: Any) -> None:
    """Enqueue the mail `name` for a person, in the caller's transaction.

    `to` stands in for the stored address (the old one after a change, that of a closed account); `language` for a
    person who is gone by the time it is written. `context`: plain JSON values, never a secret.

    - verify_email: `email`, the address to prove (default: the stored one; the mail goes to it)
    - email_change_old_address: `new_email`; with `to` = the old address
    - account_locked, new_sign_in, token_reused, password_changed: `event_id` of the SecurityEvent, or none
    - account_closed: with `to` and `language`
    """
    if name not in letters.LETTERS:
        raise ValueError(f"{name!r} is not a mail")
    tasks.send_mail.enqueue(user_id=user_id, name=name, to=to, language=language, context=context)


def send_password_reset(*, email: str, language: str = "") -> None:
    """Enqueue a look-up for *every* address, known or not, so that the request tells nothing by its time."""
    tasks.send_to_address.enqueue(email=email, name="password_reset", language=language)


def send_verification(*, email: str, language: str = "") -> None:
    """As `send_password_reset`, for a verification link asked for by somebody who is not signed in."""
    tasks.send_to_address.enqueue(email=email, name="verify_email", language=language)
