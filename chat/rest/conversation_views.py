"""Endpoints of conversations and their members."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from chat.models import Conversation, Membership
from chat.rest import conversation_payload, serializers
from chat.rest.views import ChatView
from chat.services import access, conversations, members, receipts
from common.drf import CursorPagination, read
from common.errors import NotFound

LIMIT = OpenApiParameter("limit", {"type": "integer", "minimum": 1}, description="Rows of a page, up to 100 (50).")
CURSOR = OpenApiParameter("cursor", str, description="From `next` or `previous`.")


class ByActivity(CursorPagination):
    ordering = ("-updated_at", "-id")  # type: ignore[assignment]


class ByJoining(CursorPagination):
    ordering = "id"


class ConversationsView(ChatView):
    @extend_schema(
        operation_id="chat_conversations_list",
        parameters=[
            OpenApiParameter("archived", bool, description="The archived ones instead of the others."),
            OpenApiParameter("q", str, description="Part of the title or of another member's name."),
            LIMIT,
            CURSOR,
        ],
        responses=serializers.page_of(serializers.ConversationRowOutput),
    )
    def get(self, request: Request) -> Response:
        """List my conversations by last activity."""
        # A parameter without a value is ignored.
        given = {name: value for name, value in request.query_params.items() if value}
        wanted = serializers.ConversationFilterInput(data=given)
        wanted.is_valid(raise_exception=True)
        pages = ByActivity()
        rows = pages.paginate_queryset(
            conversations.listed(user_id=self.user_id, **wanted.validated_data), request, view=self
        )
        return pages.get_paginated_response(conversation_payload.conversations(self.user_id, rows))

    @extend_schema(
        request=PolymorphicProxySerializer(
            component_name="NewConversation",
            serializers={"direct": serializers.NewDirectInput, "group": serializers.NewGroupInput},
            resource_type_field_name="kind",
        ),
        responses={201: serializers.ConversationOutput, 200: serializers.ConversationOutput},
    )
    def post(self, request: Request) -> Response:
        """Open the direct conversation with a person (200 where it exists), or create a group."""
        kind = read(serializers.KindInput, request)
        if kind["kind"] == Conversation.Kind.DIRECT:
            direct = read(serializers.NewDirectInput, request)
            conversation, created = conversations.open_direct(user_id=self.user_id, other_id=direct["user_id"])
        else:
            group = read(serializers.NewGroupInput, request)
            fields = {name: value for name, value in group.items() if name != "kind"}
            conversation, created = conversations.create_group(user_id=self.user_id, **fields), True
        body = conversation_payload.conversation(self.user_id, conversation)
        return Response(body, status=201 if created else 200)


class ConversationView(ChatView):
    @extend_schema(responses=serializers.ConversationOutput)
    def get(self, request: Request, conversation_uuid: UUID) -> Response:
        """Show one of my conversations."""
        return Response(shown(self.user_id, conversation_uuid))

    @extend_schema(request=serializers.ConversationInput, responses=serializers.ConversationOutput)
    def patch(self, request: Request, conversation_uuid: UUID) -> Response:
        """Change a group's title, description, `history_visible` or `slow_mode_seconds`; its owners and admins may."""
        changes = read(serializers.ConversationInput, request)
        conversation = conversations.update(user_id=self.user_id, conversation_uuid=conversation_uuid, **changes)
        return Response(conversation_payload.conversation(self.user_id, conversation))


class ConversationSettingsView(ChatView):
    @extend_schema(responses=serializers.ConversationSettingsOutput)
    def get(self, request: Request, conversation_uuid: UUID) -> Response:
        """Show how I keep the conversation and what it may push."""
        mine = access.member_of(self.user_id, conversation_uuid)
        return Response({name: getattr(mine, name) for name in ("muted_until", "pinned", "archived", "notify")})

    @extend_schema(request=serializers.ConversationSettingsInput, responses=serializers.ConversationWithSettingsOutput)
    def patch(self, request: Request, conversation_uuid: UUID) -> Response:
        """Mute, pin or archive the conversation for me alone; say whether all, mentions or nothing is pushed."""
        changes = read(serializers.ConversationSettingsInput, request)
        conversations.update_settings(user_id=self.user_id, conversation_uuid=conversation_uuid, **changes)
        mine = access.member_of(self.user_id, conversation_uuid)
        return Response({**shown(self.user_id, conversation_uuid), "notify": mine.notify})


class MembersView(ChatView):
    @extend_schema(
        operation_id="chat_conversations_members_list",
        parameters=[LIMIT, CURSOR],
        responses=serializers.page_of(serializers.MemberOutput),
    )
    def get(self, request: Request, conversation_uuid: UUID) -> Response:
        """List the members in the order in which they first joined."""
        mine = access.member_of(self.user_id, conversation_uuid)
        pages = ByJoining()
        rows = pages.paginate_queryset(
            conversation_payload.member_rows().filter(conversation_id=mine.conversation_id), request, view=self
        )
        return pages.get_paginated_response(conversation_payload.members(self.user_id, rows))

    @extend_schema(request=serializers.PeopleInput, responses={200: serializers.ConversationOutput})
    def post(self, request: Request, conversation_uuid: UUID) -> Response:
        """Add people to a group; who is in it already stays as they are."""
        people = read(serializers.PeopleInput, request)
        conversation = members.add(user_id=self.user_id, conversation_uuid=conversation_uuid, **people)
        return Response(conversation_payload.conversation(self.user_id, conversation))


class MemberView(ChatView):
    # Not the serializer: the schema of a PATCH would make its only key optional.
    @extend_schema(request={"application/json": serializers.ROLE_SCHEMA}, responses=serializers.MemberOutput)
    def patch(self, request: Request, conversation_uuid: UUID, member_id: int) -> Response:
        """Give a member another role; owners may."""
        wanted = read(serializers.RoleInput, request)
        member = members.change_role(
            user_id=self.user_id, conversation_uuid=conversation_uuid, member_id=member_id, **wanted
        )
        return Response(shown_member(self.user_id, member))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, conversation_uuid: UUID, member_id: int) -> Response:
        """Remove a member; oneself is leaving."""
        members.remove(user_id=self.user_id, conversation_uuid=conversation_uuid, member_id=member_id)
        return Response(status=204)


class LeaveView(ChatView):
    @extend_schema(request=None, responses={200: serializers.SuccessOutput})
    def post(self, request: Request, conversation_uuid: UUID) -> Response:
        """Leave a group. After the last owner the longest-standing admin, else member, becomes owner."""
        members.leave(user_id=self.user_id, conversation_uuid=conversation_uuid)
        return Response({"success": True})


class SeenView(ChatView):
    @extend_schema(request=serializers.SeenInput, responses={200: serializers.SeenOutput})
    def post(self, request: Request, conversation_uuid: UUID) -> Response:
        """Mark everything up to a `seq` as seen; only ever forwards."""
        seen = read(serializers.SeenInput, request)
        receipts.mark_seen(user_id=self.user_id, conversation_uuid=conversation_uuid, **seen)
        return Response(conversation_payload.seen(self.user_id, conversation_uuid))


def shown(user_id: int, conversation_uuid: UUID) -> dict[str, Any]:
    """Return a conversation as the member sees it. Raises NotFound."""
    mine = access.member_of(user_id, conversation_uuid)
    return conversation_payload.conversation(user_id, Conversation.objects.get(pk=mine.conversation_id))


def shown_member(user_id: int, member: Membership) -> dict[str, Any]:
    """Return one row of the members list."""
    rows = list(conversation_payload.member_rows().filter(pk=member.pk))
    if not rows:  # they have left meanwhile
        raise NotFound
    return conversation_payload.members(user_id, rows)[0]
