"""Every operation of the OpenAPI document, with generated input: no 500, and no answer that the document does not know.

Random ids reach nothing but 404, so that half of the calls get ids, tokens and cursors of things that are there.
`SCHEMA_FUZZ_EXAMPLES` (default 5) is the number of examples for each operation.
"""

import os
import random
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.contrib.auth import get_user_model
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, settings
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks

from config.wsgi import application
from conftest import PASSWORD
from users.mail import single_use
from users.models import EmailVerificationToken, PasswordResetToken

EXAMPLES = int(os.environ.get("SCHEMA_FUZZ_EXAMPLES", "5"))
CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@schemathesis.serializer("application/offset+octet-stream")
def offset_bytes(context: Any, value: Any) -> Any:
    """Send the bytes of a resumable upload as they are; schemathesis knows the type's plain relative alone."""
    return value if isinstance(value, bytes) else getattr(value, "data", None) or str(value).encode("utf-8", "replace")


schema = schemathesis.openapi.from_wsgi("/api/schema/?format=json", application)

pytestmark = pytest.mark.django_db


@pytest.fixture
def seeded(settings: Any, alice: Any, bob: Any, charlie: Any, sign_in: Any) -> Iterator[dict[str, Any]]:
    """Alice with a direct conversation, a group and messages, and what their paths and bodies need."""
    settings.RATE_LIMITS = dict.fromkeys(settings.RATE_LIMITS, "0")
    settings.LOCKOUT_ATTEMPTS = 0
    api = sign_in(alice)

    def post(path: str, body: dict[str, Any]) -> Any:
        answer = api.post(f"/api/chat/{path}", body)
        assert answer.status_code in {200, 201}, answer.data
        return answer.data

    direct = post("conversations/", {"kind": "direct", "user_id": bob.pk})
    group = post("conversations/", {"kind": "group", "title": "Garden", "user_ids": [bob.pk, charlie.pk]})
    messages = [
        post(f"conversations/{one['uuid']}/messages/", {"content": "hello", "client_msg_id": str(uuid.uuid4())})
        for one in (direct, group)
    ]
    conversations = [str(one["uuid"]) for one in (direct, group)]
    written = [str(one.get("uuid") or one["message"]["uuid"]) for one in messages]
    # As Django's own test client has it: a request does not close the connection of the test's transaction.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield {
        "alice": alice,
        "sign_in": sign_in,
        "as_she_was": {
            name: getattr(alice, name)
            for name in ("username", "username_key", "email", "password", "password_changed_at", "is_active")
        },
        "conversation_uuid": conversations,
        "message_uuid": written,
        "user_id": [bob.pk, charlie.pk, alice.pk],
        "emoji": ["👍", "❤️"],
    }
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def known(seeded: dict[str, Any], case: Any, name: str) -> list[Any]:
    """Return what exists for a parameter or a key of a body of that name."""
    if name == "uuid":
        name = "message_uuid" if "/messages/" in case.path else "conversation_uuid"
    return seeded.get(name, [])


def _passable(case: Any, alice: Any, dice: random.Random) -> None:
    """Half of the time give a body what lets it through: a password, the same again, a mailed secret."""
    if not isinstance(case.body, dict) or dice.random() < 0.5:
        return
    for name in ("password", "old_password"):
        if name in case.body:
            case.body[name] = PASSWORD
    for name in ("new_password", "new_password_confirm", "password_confirm"):
        if name in case.body:
            case.body[name] = PASSWORD
    if case.path.endswith("/login/"):
        case.body["username"] = dice.choice(["alice", "alice@example.com"])
    if case.path.endswith("/register/"):
        case.body |= {"username": f"p{uuid.uuid4().hex[:8]}", "email": f"{uuid.uuid4().hex[:8]}@example.com"}
    if case.path.endswith("/email-change/"):
        case.body["new_email"] = dice.choice(["bob@example.com", "free@example.com"])
    if case.path.endswith("/password-reset/confirm/"):
        case.body["token"] = str(single_use.issue(PasswordResetToken, alice))
    if case.path.endswith("/verify-email/"):
        case.body["token"] = str(single_use.issue(EmailVerificationToken, alice, email=alice.email))


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_every_answer_is_in_the_document(case: Any, seeded: dict[str, Any]) -> None:
    dice = random.Random(repr((case.path, case.method, case.body, case.path_parameters)))
    for place in (case.path_parameters, case.query, case.body):
        if not isinstance(place, dict):
            continue
        for name in place:
            if (there := known(seeded, case, name)) and dice.random() < 0.5:
                place[name] = dice.choice(there)
    _passable(case, seeded["alice"], dice)
    # A new session each time: some operations end the one that they are called with, or change who calls.
    get_user_model().objects.filter(pk=seeded["alice"].pk).update(**seeded["as_she_was"])
    seeded["alice"].refresh_from_db()
    started = seeded["sign_in"](seeded["alice"]).started
    if isinstance(case.path_parameters, dict) and "sid" in case.path_parameters and dice.random() < 0.5:
        case.path_parameters["sid"] = str(started.user_session.session_token)
    if isinstance(case.body, dict) and isinstance(case.body.get("refresh"), str) and dice.random() < 0.5:
        case.body["refresh"] = started.tokens.refresh
    case.call_and_validate(headers={"Authorization": f"Bearer {started.tokens.access}"}, checks=CHECKS)
