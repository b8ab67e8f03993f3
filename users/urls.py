"""Door to `users.http.urls`, where the sessions guide looks for it."""

from users.http.urls import urlpatterns

__all__ = ["urlpatterns"]
