"""URLs under `/api/users/push/`."""

from django.urls import URLPattern, path

from sessions.push import views

urlpatterns: list[URLPattern] = [path("key/", views.PushKeyView.as_view())]
