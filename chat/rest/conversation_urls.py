"""URLs of conversations, members, blocks, reports and settings."""

from django.urls import path, register_converter
from django.urls.converters import IntConverter

from chat.rest import conversation_views as conversations
from chat.rest import safety_views as safety


class PersonId(IntConverter):
    """URL converter for ids that fit a bigint column."""

    regex = "[0-9]{1,18}"


register_converter(PersonId, "person")

urlpatterns = [
    path("conversations/", conversations.ConversationsView.as_view()),
    path("conversations/<any_uuid:conversation_uuid>/", conversations.ConversationView.as_view()),
    path("conversations/<any_uuid:conversation_uuid>/settings/", conversations.ConversationSettingsView.as_view()),
    path("conversations/<any_uuid:conversation_uuid>/members/", conversations.MembersView.as_view()),
    path("conversations/<any_uuid:conversation_uuid>/members/<person:member_id>/", conversations.MemberView.as_view()),
    path("conversations/<any_uuid:conversation_uuid>/leave/", conversations.LeaveView.as_view()),
    path("conversations/<any_uuid:conversation_uuid>/seen/", conversations.SeenView.as_view()),
    path("blocks/", safety.BlocksView.as_view()),
    path("blocks/<person:blocked_id>/", safety.BlockView.as_view()),
    path("reports/", safety.ReportsView.as_view()),
    path("settings/", safety.ChatSettingsView.as_view()),
]
