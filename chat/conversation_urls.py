"""Conversations, members, blocks, reports, settings."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
