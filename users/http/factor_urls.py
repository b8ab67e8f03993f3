"""URLs of factors, mounted under both `/api/auth/` and `/api/users/auth/`."""

from django.urls import URLPattern, path

from users.http import factor_views as views

urlpatterns: list[URLPattern] = [
    path("mfa/", views.MfaView.as_view()),
    path("mfa/options/", views.MfaOptionsView.as_view()),
    path("passkey/", views.PasskeySignInView.as_view()),
    path("passkey/options/", views.PasskeyOptionsView.as_view()),
    path("email-code/", views.EmailCodeView.as_view()),
    path("email-code/confirm/", views.EmailCodeConfirmView.as_view()),
    path("social/<str:provider>/", views.SocialSignInView.as_view()),
    path("reauthenticate/", views.ReauthenticateView.as_view()),
    path("factors/", views.FactorsView.as_view()),
    path("factors/totp/", views.TotpView.as_view()),
    path("factors/totp/confirm/", views.TotpConfirmView.as_view()),
    path("factors/recovery-codes/", views.RecoveryCodesView.as_view()),
    path("factors/passkeys/options/", views.PasskeyCreationView.as_view()),
    path("factors/passkeys/", views.PasskeysView.as_view()),
    path("factors/passkeys/<str:passkey_id>/", views.PasskeyView.as_view()),
    path("factors/social/<str:provider>/", views.SocialLinkView.as_view()),
]
