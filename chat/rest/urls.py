"""URLs of the chat's REST API."""

from django.urls import include, path

urlpatterns = [
    path("", include("chat.rest.conversation_urls")),
    path("", include("chat.rest.message_urls")),
    path("", include("chat.rest.attachment_urls")),
    path("", include("chat.rest.search_urls")),
]
