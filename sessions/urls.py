"""URLs under `/api/users/sessions/`."""

from django.urls import URLPattern, path

from sessions import views
from sessions.push import views as push

urlpatterns: list[URLPattern] = [
    path("", views.SessionsView.as_view()),
    path("<str:sid>/", views.SessionView.as_view()),
    path("<str:sid>/revoke/", views.RevokeView.as_view()),
    path("<str:sid>/push/", push.PushView.as_view()),
]
