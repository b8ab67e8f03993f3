"""Below `/api/users/`."""

from django.urls import path

from users.http import security_events, views

urlpatterns = [
    path("me/", views.MeView.as_view()),
    path("me/export/", views.ExportView.as_view()),
    path("me/security-events/", security_events.SecurityEventsView.as_view()),
    path("search/", views.SearchView.as_view()),
]
