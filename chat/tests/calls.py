"""The calls that tests of the chat's REST side make again and again."""

import uuid
from typing import Any

from rest_framework.test import APIClient

from chat.models import Event

BASE = "/api/chat/"
CONVERSATIONS = f"{BASE}conversations/"


def api(user: Any) -> APIClient:
    """Return a client that is `user`."""
    client = APIClient()
    client.force_authenticate(user=user)
    return client


def at(conversation: dict[str, Any], path: str = "") -> str:
    """Return the path of something below a conversation."""
    return f"{CONVERSATIONS}{conversation['uuid']}/{path}"


def direct(one: Any, other: Any) -> dict[str, Any]:
    answer = api(one).post(CONVERSATIONS, {"kind": "direct", "user_id": other.pk})
    assert answer.status_code in (200, 201), answer.content
    return answer.json()


def group(owner: Any, *members: Any, title: str = "Garden", **fields: Any) -> dict[str, Any]:
    body = {"kind": "group", "title": title, "user_ids": [member.pk for member in members], **fields}
    answer = api(owner).post(CONVERSATIONS, body)
    assert answer.status_code == 201, answer.content
    return answer.json()


def say(user: Any, conversation: dict[str, Any], content: str = "hello", **fields: Any) -> dict[str, Any]:
    body = {"content": content, "client_msg_id": str(uuid.uuid4()), **fields}
    answer = api(user).post(at(conversation, "messages/"), body)
    assert answer.status_code == 201, answer.content
    return answer.json()


def shown(user: Any, conversation: dict[str, Any]) -> dict[str, Any]:
    """Return the conversation as `user` sees it now."""
    answer = api(user).get(at(conversation))
    assert answer.status_code == 200, answer.content
    return answer.json()


def roles(user: Any, conversation: dict[str, Any]) -> dict[str, str]:
    """Return the roles by username."""
    rows = api(user).get(at(conversation, "members/?limit=100")).json()["results"]
    return {row["user"]["username"]: row["role"] for row in rows}


def events(conversation: dict[str, Any]) -> list[tuple[int, str]]:
    rows = Event.objects.filter(conversation__uuid=conversation["uuid"]).order_by("seq")
    return list(rows.values_list("seq", "kind"))


def codes(answer: Any, field: str) -> list[str]:
    """Return the error codes of a field of a 400."""
    assert answer.status_code == 400, answer.content
    body = answer.json()
    assert body["code"] == "validation_error"
    return [error["code"] for error in body["errors"][field]]


def refused(answer: Any, status: int, code: str) -> bool:
    """Return whether the answer is that refusal, in the envelope."""
    return (answer.status_code, answer.json()["code"]) == (status, code)
