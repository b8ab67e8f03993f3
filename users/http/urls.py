"""URLs under `/api/users/`."""

from django.urls import path

from users.http import factor_views, security_events, views

urlpatterns = [
    path("me/", views.MeView.as_view()),
    path("me/close/", views.CloseView.as_view()),
    path("me/export/", views.ExportView.as_view()),
    path("me/phone/", factor_views.PhoneView.as_view()),
    path("me/phone/confirm/", factor_views.PhoneConfirmView.as_view()),
    path("me/security-events/", security_events.SecurityEventsView.as_view()),
    path("search/", views.SearchView.as_view()),
]
