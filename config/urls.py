"""Root URL configuration: which app serves which path."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from chat.protocol import asyncapi
from config import documentation, guides, health, metrics, page, social_sign_in

urlpatterns: list[URLPattern | URLResolver] = [
    path("", page.page, name="page"),
    path("manifest.webmanifest", page.manifest),
    path("sw.js", page.service_worker),
    path("sign-in/<slug:provider>/", social_sign_in.begin),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics),
    path("admin/", admin.site.urls),
    # Both seeds' prefixes; the first is canonical, the second an alias of the same views.
    path("api/auth/", include("users.http.auth_urls")),
    path("api/auth/", include("sessions.auth_urls")),
    path("api/auth/", include("users.http.factor_urls")),
    path("api/users/auth/", include("users.http.auth_urls")),
    path("api/users/auth/", include("users.http.factor_urls")),
    path("api/users/auth/", include("sessions.auth_urls")),
    path("api/users/sessions/", include("sessions.urls")),
    path("api/users/push/", include("sessions.push.urls")),
    path("api/users/", include("users.http.urls")),
    path("api/chat/", include("chat.rest.urls")),
    path("api/schema/", documentation.SchemaView.as_view(), name="schema"),
    path("api/docs/", documentation.swagger, name="docs"),
    path("api/redoc/", documentation.redoc, name="redoc"),
    path("api/asyncapi.json", documentation.read_only(asyncapi.as_json), name="asyncapi"),
    path("api/asyncapi/", documentation.read_only(asyncapi.as_page), name="asyncapi-page"),
    path("docs/", guides.guides, name="guides"),
    path("docs/<path:path>", guides.guides),
    path("", include("sessions.well_known")),
    path("", include("users.http.well_known")),
    path("", include("users.http.pages")),
]

handler400 = "common.errors.bad_request"
handler403 = "common.errors.permission_denied"
handler404 = "common.errors.not_found"
handler500 = "common.errors.server_error"
