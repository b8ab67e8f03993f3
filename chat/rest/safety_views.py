"""Endpoints of blocks, reports and chat settings."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from chat.log import encoding
from chat.models import Block, ChatSettings
from chat.rest import serializers
from chat.rest.conversation_views import CURSOR, LIMIT
from chat.rest.views import ChatView
from chat.services import blocks, reports, settings
from common.drf import CursorPagination, read


def _block(row: Block) -> dict[str, object]:
    return {"user": encoding.person(row.blocked), "created_at": row.created_at}


class BlocksView(ChatView):
    @extend_schema(
        operation_id="chat_blocks_list",
        parameters=[LIMIT, CURSOR],
        responses=serializers.page_of(serializers.BlockOutput),
    )
    def get(self, request: Request) -> Response:
        """List whom I block, the latest first."""
        pages = CursorPagination()
        rows = pages.paginate_queryset(
            Block.objects.filter(blocker_id=self.user_id).select_related("blocked"), request, view=self
        )
        return pages.get_paginated_response([_block(row) for row in rows])

    @extend_schema(
        request=serializers.UserIdInput, responses={201: serializers.BlockOutput, 200: serializers.BlockOutput}
    )
    def post(self, request: Request) -> Response:
        """Block a person: no direct conversation in either direction, no presence, no adding me to groups."""
        person = read(serializers.UserIdInput, request)
        row, created = blocks.block(user_id=self.user_id, blocked_id=person["user_id"])
        return Response(_block(row), status=201 if created else 200)


class BlockView(ChatView):
    @extend_schema(responses={204: None})
    def delete(self, request: Request, blocked_id: int) -> Response:
        """Lift a block."""
        blocks.unblock(user_id=self.user_id, blocked_id=blocked_id)
        return Response(status=204)


class ReportsView(ChatView):
    @extend_schema(
        request=serializers.ReportInput, responses={201: serializers.ReportOutput, 200: serializers.ReportOutput}
    )
    def post(self, request: Request) -> Response:
        """Report a message that I can see; again is 200 with the first report."""
        wanted = read(serializers.ReportInput, request)
        row, created = reports.report(user_id=self.user_id, **wanted)
        body = {
            "uuid": row.uuid,
            "message_uuid": wanted["message_uuid"],
            "reason": row.reason,
            "status": row.status,
            "created_at": row.created_at,
        }
        return Response(body, status=201 if created else 200)


class ChatSettingsView(ChatView):
    @extend_schema(responses=serializers.ChatSettingsOutput)
    def get(self, request: Request) -> Response:
        """Show what I share, and my quiet hours."""
        return Response(_settings(settings.of(self.user_id)))

    @extend_schema(request=serializers.ChatSettingsInput, responses=serializers.ChatSettingsOutput)
    def patch(self, request: Request) -> Response:
        """Share or hide how far I have read and whether I am there; set the hours in which nothing is pushed."""
        changes = read(serializers.ChatSettingsInput, request)
        wanted = dict(changes)
        if "quiet_hours" in wanted:
            wanted["quiet_from"], wanted["quiet_to"] = wanted.pop("quiet_hours") or (None, None)
        return Response(_settings(settings.change(user_id=self.user_id, **wanted)))


def _settings(row: ChatSettings) -> dict[str, object]:
    return {
        "share_receipts": row.share_receipts,
        "share_presence": row.share_presence,
        "quiet_hours": settings.quiet_hours(row),
    }
