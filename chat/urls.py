"""The chat over REST."""

from django.urls import include, path

urlpatterns = [
    path("", include("chat.conversation_urls")),
    path("", include("chat.message_urls")),
]
