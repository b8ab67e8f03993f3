"""URLs of authentication, mounted under both `/api/auth/` and `/api/users/auth/`."""

from django.urls import path

from users.http import views

urlpatterns = [
    path("register/", views.RegisterView.as_view()),
    path("login/", views.LoginView.as_view()),
    path("password-reset/", views.PasswordResetView.as_view()),
    path("password-reset/confirm/", views.PasswordResetConfirmView.as_view()),
    path("password-change/", views.PasswordChangeView.as_view()),
    path("verify-email/", views.VerifyEmailView.as_view()),
    path("was-it-you/", views.WasItYouView.as_view()),
    path("resend-verification/", views.ResendVerificationView.as_view()),
    path("email-change/", views.EmailChangeView.as_view()),
]
