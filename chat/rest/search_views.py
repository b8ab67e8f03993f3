"""Endpoint of the message search."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from chat.log import encoding
from chat.models import Message
from chat.rest.message_serializers import MessageOutput
from chat.rest.views import ChatView
from chat.search import find, query
from chat.services import access
from common.drf import CursorPagination
from common.errors import NotFound, ValidationFailed
from common.postgresql import replica

QUERY_CHARS = 300
ID_DIGITS = 18


class SearchInput(serializers.Serializer[Any]):
    q = serializers.CharField(required=False, default="", allow_blank=True, max_length=QUERY_CHARS)
    conversation_uuid = serializers.UUIDField(required=False)
    sender_id = serializers.IntegerField(required=False, min_value=0, max_value=2**63 - 1)
    before = serializers.DateTimeField(required=False)
    after = serializers.DateTimeField(required=False)
    has = serializers.ChoiceField(choices=["attachment", "link"], required=False)


class FoundOutput(serializers.Serializer[Any]):
    message = MessageOutput()
    highlights = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField(), min_length=2, max_length=2),
        help_text="Ranges of `content` in UTF-16 units.",
    )


class SearchPageOutput(serializers.Serializer[Any]):
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True, help_text="Always null: pages go on only.")
    results = FoundOutput(many=True)


class SearchView(ChatView):
    @extend_schema(
        operation_id="chat_search",
        parameters=[
            OpenApiParameter("q", str, description='Words or beginnings of words; `"a phrase"`; `-without`.'),
            OpenApiParameter("conversation_uuid", str, description="Only in this conversation of mine."),
            OpenApiParameter("sender_id", int, description="Only of this person."),
            OpenApiParameter("before", str, description="Only sent before this time."),
            OpenApiParameter("after", str, description="Only sent after this time."),
            OpenApiParameter("has", str, enum=["attachment", "link"], description="Only with one."),
            OpenApiParameter("limit", {"type": "integer", "minimum": 1}, description="Rows of a page, up to 100 (50)."),
            OpenApiParameter("cursor", str, description="From `next`."),
        ],
        responses=SearchPageOutput,
    )
    def get(self, request: Request) -> Response:
        """Find messages that I can see, newest first: all of the words, whatever their case and accents."""
        given = {name: str(value) for name, value in request.query_params.items() if value}
        asked = SearchInput(data=given)
        asked.is_valid(raise_exception=True)
        limit = CursorPagination().get_page_size(request)
        wanted = _wanted(asked.validated_data, given.get("cursor"))
        if wanted.conversation_uuid is not None:
            access.member_of(self.user_id, wanted.conversation_uuid)
        if asked.validated_data["q"].strip() and not (wanted.query.terms or wanted.query.without):
            rows, shown = list[Message](), dict[int, Any]()  # only punctuation, which is in no word
        else:
            rows, shown = replica.read(lambda: self._found(wanted, limit=limit + 1))
        more, rows = len(rows) > limit, rows[:limit]
        results = [
            {"message": shown[row.pk], "highlights": query.highlights(row.content, wanted.query)} for row in rows
        ]
        following = replace_query_param(request.build_absolute_uri(), "cursor", str(rows[-1].pk)) if more else None
        return Response({"next": following, "previous": None, "results": results})

    def _found(self, wanted: find.Wanted, *, limit: int) -> tuple[list[Message], dict[int, Any]]:
        rows = find.find(self.user_id, wanted, limit=limit)
        return rows, encoding.messages(rows, viewer_id=self.user_id)


def _wanted(asked: dict[str, Any], cursor: str | None) -> find.Wanted:
    """Return the requested filters. Raises ValidationFailed without any, NotFound for a forged cursor."""
    fields = {name: value for name, value in asked.items() if name != "q"}
    if not asked["q"].strip() and not fields:
        raise ValidationFailed.of("q", "required", _("This field is required."))
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= ID_DIGITS):
        raise NotFound
    return find.Wanted(query=query.parse(asked["q"]), before_id=None if cursor is None else int(cursor), **fields)
