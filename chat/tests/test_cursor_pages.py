"""Cursor pages: every row once, however many share a value, and nothing but a page for a forged cursor."""

import base64
import json
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from chat.models import Conversation
from common.drf import CursorPagination

pytestmark = pytest.mark.django_db
AT = datetime(2030, 1, 1, tzinfo=UTC)


class Pages(CursorPagination):
    ordering = ("-updated_at", "-id")


def read(url, pages=Pages, rows=None):
    """Return the ids of a page and the links beside it."""
    page = pages()
    found = page.paginate_queryset(
        Conversation.objects.all() if rows is None else rows, Request(APIRequestFactory().get(url))
    )
    return [row.pk for row in found], page.get_next_link(), page.get_previous_link()


def make(count, **fields):
    fields = {"kind": "group", "created_at": AT, "updated_at": AT, **fields}
    return Conversation.objects.bulk_create(Conversation(**fields) for _ in range(count))


def test_a_list_ends_though_a_thousand_rows_have_one_time():
    ids = sorted((row.pk for row in make(1_250)), reverse=True)
    found, url = [], "/?limit=100"
    while url:
        page, url, _previous = read(url)
        found += page
    assert found == ids


def test_pages_go_back_as_they_came():
    make(5), make(5, updated_at=datetime(2031, 1, 1, tzinfo=UTC))
    first, second_url, nothing = read("/?limit=4")
    second, third_url, back = read(second_url)
    third, end, back_again = read(third_url)
    assert (nothing, end, len(third)) == (None, None, 2)
    assert read(back)[0] == first
    assert read(back)[2] is None
    assert read(back_again)[0] == second
    assert read(read(back_again)[1])[0] == third


def test_rows_that_come_and_go_between_pages_repeat_and_hide_no_other():
    ids = sorted((row.pk for row in make(6)), reverse=True)
    first, url, _ = read("/?limit=3")
    make(3)
    Conversation.objects.filter(pk=ids[2]).delete()  # the very row that the cursor names
    assert (first, read(url)[0]) == (ids[:3], ids[3:])


def test_one_name_and_another_order_work_alike():
    class ById(CursorPagination):
        ordering = "id"

    Group.objects.bulk_create(Group(name=str(number)) for number in range(5))
    first, url, _ = read("/?limit=3", ById, Group.objects.all())
    second, _, back = read(url, ById, Group.objects.all())
    assert first + second == sorted(first + second)
    assert read(back, ById, Group.objects.all())[0] == first


def test_a_list_ordered_by_a_value_that_is_not_unique_is_given_one_that_is():
    class ByModel(CursorPagination):
        ordering = "app_label"

    rows = ContentType.objects.all()
    found, url = [], "/?limit=2"
    while url:
        page, url, _ = read(url, ByModel, rows)
        found += page
    assert sorted(found) == sorted(rows.values_list("pk", flat=True))


def forged(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "x", "cD0A", "%00", "é", forged([]), forged({}), forged({"p": None}), forged({"p": []}), forged({"p": [1]}),
        forged({"p": ["x", 1]}), forged({"p": ["2030-01-01T00:00:00Z", "x"]}), forged({"p": [{}, 1]}),
        forged({"p": ["2030-01-01T00:00:00Z", 2**63]}), forged({"p": ["2030-01-01T00:00:00Z", None]}),
        forged({"p": ["2030-01-01T00:00:00Z", [1]]}), forged({"p": ["2030-01-01T00:00:00Z", "\x00"]}),
        forged({"p": ["2030-01-01T00:00:00", 1]}), forged({"p": ["2030-99-01T00:00:00Z", 1]}), forged("p"), forged(1),
    ],
)  # fmt: skip
def test_a_forged_cursor_is_not_found(cursor):
    make(2)
    with pytest.raises(NotFound):
        read(f"/?cursor={cursor}")
