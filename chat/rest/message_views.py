"""Endpoints of messages: history, send, edit, delete, react. The socket uses the same services."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from chat.log import encoding
from chat.models import Membership, Message
from chat.rest import message_serializers as serializers
from chat.rest.views import ChatView
from chat.services import access, messages
from common.drf import read
from common.postgresql import replica


class MessagesView(ChatView):
    @extend_schema(
        parameters=[
            OpenApiParameter("before_seq", int, description="Only messages before this one, the newest of them."),
            OpenApiParameter("after_seq", int, description="Only messages after this one, the oldest of them."),
            OpenApiParameter("limit", int, description="Messages of a page, up to 100 (50)."),
        ],
        responses=serializers.MessagePageOutput,
    )
    def get(self, request: Request, conversation_uuid: UUID) -> Response:
        """Read a page of the history, ascending; with neither bound the newest page."""
        given = {name: value for name, value in request.query_params.items() if value}  # an empty `?limit=` is ignored
        bounds = serializers.PageInput(data=given)
        bounds.is_valid(raise_exception=True)
        membership = access.member_of(self.user_id, conversation_uuid)
        return Response(replica.read(lambda: self._page(membership, bounds.validated_data)))

    def _page(self, membership: Membership, bounds: dict[str, Any]) -> dict[str, Any]:
        rows, has_more = messages.page(membership, **bounds)
        shown = encoding.messages(rows, viewer_id=self.user_id)
        return {"results": [shown[row.pk] for row in rows], "has_more": has_more}

    @extend_schema(
        request=serializers.NewMessageInput,
        responses={201: serializers.MessageOutput, 200: serializers.MessageOutput},
    )
    def post(self, request: Request, conversation_uuid: UUID) -> Response:
        """Send a message; 200 when it is a repeat of one that is already stored."""
        given = read(serializers.NewMessageInput, request)
        sent = messages.send(
            user_id=self.user_id,
            session_id=session_of(request),
            conversation_uuid=conversation_uuid,
            **given,
        )
        row = Message.objects.get(uuid=sent.message_uuid)
        body = encoding.message(row, viewer_id=self.user_id)
        if sent.duplicate and access.member_of(self.user_id, conversation_uuid).visible_after_seq >= row.seq:
            # A repeat of a message from an earlier membership: return what was sent, not its later state.
            body |= {"content": given["content"], "reactions": [], "edited_at": None, "deleted_at": None}
        return Response(body, status=200 if sent.duplicate else 201)


class MessageView(ChatView):
    @extend_schema(request=serializers.EditInput, responses=serializers.MessageOutput)
    def patch(self, request: Request, message_uuid: UUID) -> Response:
        """Change what an own message says."""
        given = read(serializers.EditInput, request)
        changed = messages.edit(
            user_id=self.user_id,
            session_id=session_of(request),
            message_uuid=message_uuid,
            content=given["content"],
        )
        return Response(encoding.message(changed.message, viewer_id=self.user_id))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, message_uuid: UUID) -> Response:
        """Take a message back: an own one, or any as owner or admin of the group."""
        messages.delete(user_id=self.user_id, session_id=session_of(request), message_uuid=message_uuid)
        return Response(status=204)


class ReactionView(ChatView):
    @extend_schema(request=None, responses=serializers.MessageOutput)
    def put(self, request: Request, message_uuid: UUID, emoji: str) -> Response:
        """React with an emoji."""
        changed = self._react(request, message_uuid, emoji, remove=False)
        return Response(encoding.message(changed.message, viewer_id=self.user_id))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, message_uuid: UUID, emoji: str) -> Response:
        """Take the reaction back."""
        self._react(request, message_uuid, emoji, remove=True)
        return Response(status=204)

    def _react(self, request: Request, message_uuid: UUID, emoji: str, *, remove: bool) -> messages.Changed:
        return messages.react(
            user_id=self.user_id,
            session_id=session_of(request),
            message_uuid=message_uuid,
            emoji=emoji,
            remove=remove,
        )


def session_of(request: Any) -> int | None:
    """Return the row id of the request's session, None if it was authenticated without a token."""
    return getattr(request.auth, "session_id", None)
