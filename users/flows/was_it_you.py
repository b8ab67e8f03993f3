"""Answer "Was it you?" of a security notice, by the single-use link in its mail: yes, or sign that device out."""

from typing import Literal

from django.db import transaction

from common import rates
from common.client import Client, address_key
from common.errors import InvalidOrExpiredToken, NotFound
from sessions.services import lifecycle as sessions
from users.mail import single_use
from users.models import NoticeToken, SecurityEvent, User

Answer = Literal["me", "sign_out"]
ANSWERS: tuple[Answer, ...] = ("me", "sign_out")


def answer(*, token: str, answer: Answer, client: Client) -> None:
    """Spend the link. `sign_out` ends the session that the notice was about; one that has ended already stays ended.

    The answer is noted in the event's `detail`, where its person and support see it.

    Raises: Throttled, InvalidOrExpiredToken.
    """
    rates.allow(name="was_it_you", key=address_key(client.ip_address))
    raw = single_use.parse(token)
    with transaction.atomic():
        # The person first, as everywhere.
        user_id = single_use.peek(NoticeToken, raw).user_id
        if not User.objects.select_for_update(no_key=True).filter(pk=user_id, is_active=True).exists():
            raise InvalidOrExpiredToken
        event = SecurityEvent.objects.select_for_update().get(pk=single_use.spend(NoticeToken, raw).event_id)
        event.detail = {**event.detail, "answer": answer}
        event.save(update_fields=["detail"])
        if answer == "sign_out" and event.session_id:
            _sign_out(user_id, event, client)


def _sign_out(user_id: int, event: SecurityEvent, client: Client) -> None:
    assert event.session_id is not None  # noqa: S101 - asked by the caller
    try:
        sessions.revoke(user_id=user_id, sid=event.session_id, reason="revoked", client=client)
    except NotFound:  # purged since
        return
