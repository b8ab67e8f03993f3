from django.urls import URLPattern, path

from sessions import views

urlpatterns: list[URLPattern] = [path(".well-known/jwks.json", views.jwks)]
