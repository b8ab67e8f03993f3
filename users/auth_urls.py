"""Below both `/api/auth/` and `/api/users/auth/`."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
