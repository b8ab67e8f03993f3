"""Re-exports `users.http.urls` under the name that the sessions guide uses."""

from users.http.urls import urlpatterns

__all__ = ["urlpatterns"]
