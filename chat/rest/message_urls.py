"""URLs of messages: history, send, edit, delete, react."""

from django.urls import path

from chat.rest import message_views as messages

urlpatterns = [
    path("conversations/<any_uuid:conversation_uuid>/messages/", messages.MessagesView.as_view()),
    path("messages/<any_uuid:message_uuid>/", messages.MessageView.as_view()),
    path("messages/<any_uuid:message_uuid>/reactions/<str:emoji>/", messages.ReactionView.as_view()),
]
