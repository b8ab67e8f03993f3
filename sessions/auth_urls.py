"""URLs of tokens and logout, mounted under both `/api/auth/` and `/api/users/auth/`."""

from django.urls import URLPattern, path

from sessions import views

urlpatterns: list[URLPattern] = [
    path("token/refresh/", views.RefreshView.as_view()),
    path("token/verify/", views.VerifyView.as_view()),
    path("logout/", views.LogoutView.as_view()),
    path("logout-all/", views.LogoutAllView.as_view()),
]
