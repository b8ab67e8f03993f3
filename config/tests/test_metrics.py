"""Counts for Prometheus, for those who may read them."""

import pytest


def test_requests_are_counted_by_pattern_and_never_by_typed_path(client, db):
    client.get("/api/nix-8f3a/")
    client.get("/healthz")
    said = client.get("/metrics").content.decode()
    assert 'path="healthz"' in said
    assert "nix-8f3a" not in said
    assert 'alviar_tasks{state="ready"}' in said


@pytest.mark.parametrize(
    "more", [{"REMOTE_ADDR": "203.0.113.5"}, {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, {"REMOTE_ADDR": ""}]
)
def test_strangers_find_no_metrics(client, db, more):
    assert client.get("/metrics", **more).status_code == 404


def test_with_a_token_loopback_needs_it_too(client, db, settings):
    settings.METRICS_TOKEN = "m3tr1cs"
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", HTTP_AUTHORIZATION="Bearer m3tr1cs", REMOTE_ADDR="203.0.113.5").status_code == 200
    assert client.get("/metrics", HTTP_AUTHORIZATION="Bearer é").status_code == 404


def test_ready_tells_of_a_database_that_is_away(client, db, monkeypatch):
    from django.db import OperationalError

    from config import health

    def away():
        raise OperationalError

    with monkeypatch.context() as patched:
        patched.setattr(health.connection, "cursor", away)
        response = client.get("/readyz")
    assert (response.status_code, response.json()["database"]) == (503, "away")
    assert response["Retry-After"] == "1"


def test_ready_is_degraded_without_redis_and_still_200(client, db, settings, monkeypatch):
    from config import health

    settings.REDIS_URLS = ["redis://127.0.0.1:9/0"]

    def away(keys):
        raise OSError

    monkeypatch.setattr(health.cache, "get_many", away)
    response = client.get("/readyz")
    assert (response.status_code, response.json()["layer"]) == (200, "degraded")
