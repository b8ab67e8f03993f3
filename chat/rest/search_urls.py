"""URL of the message search."""

from django.urls import path

from chat.rest.search_views import SearchView

urlpatterns = [path("search/", SearchView.as_view())]
