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
    assert set(response.json()) == {"database", "layer", "migrations", "tasks"}
    assert response["Retry-After"] == "1"


def test_ready_says_what_it_looked_at(client, db):
    response = client.get("/readyz")
    assert response.json() == {"database": "ok", "layer": response.json()["layer"], "migrations": "ok", "tasks": "ok"}


def test_not_ready_while_the_tables_are_older_than_the_code(client, db, monkeypatch):
    from django.db.migrations.recorder import MigrationRecorder

    from config import health

    monkeypatch.setattr(health, "_migrated", [])
    MigrationRecorder.Migration.objects.filter(app="chat").delete()
    response = client.get("/readyz")
    assert (response.status_code, response.json()["migrations"]) == (503, "pending")


def test_tasks_that_nobody_takes_are_told_and_requests_are_served(client, db):
    from datetime import timedelta

    from django.utils import timezone
    from django_tasks_db.models import DBTaskResult

    from common.tasks import purge_expired

    purge_expired.enqueue()
    assert client.get("/readyz").json()["tasks"] == "ok"
    DBTaskResult.objects.update(enqueued_at=timezone.now() - timedelta(minutes=5))
    response = client.get("/readyz")
    assert (response.status_code, response.json()["tasks"]) == (200, "behind")


@pytest.mark.asyncio
async def test_a_store_that_hangs_holds_up_neither_probe(monkeypatch):
    import json
    import threading

    from config import health

    hangs, looks = threading.Event(), []

    def look():
        looks.append(1)
        hangs.wait(60)
        return {}

    monkeypatch.setattr(health, "_look_and_close", look)
    monkeypatch.setattr(health, "LOOK_SECONDS", 0.05)
    gate = health.ProbesGate(None)

    async def ask(path):
        said = []

        async def send(message):
            said.append(message)

        await gate({"path": path, "method": "GET", "headers": []}, None, send)
        return said[0]["status"], json.loads(said[1]["body"])

    try:
        assert [(await ask("/readyz"))[0] for _ in range(3)] == [503] * 3
        assert (await ask("/readyz"))[1]["database"] == "away"
        assert await ask("/healthz") == (200, {"status": "ok"})
        assert looks == [1], "one thread, however many ask"
    finally:
        hangs.set()


def test_ready_is_degraded_without_redis_and_still_200(client, db, settings, monkeypatch):
    from config import health

    settings.WAKES_URLS = ["redis://127.0.0.1:9/0"]

    def away(keys):
        raise OSError

    monkeypatch.setattr(health.cache, "get_many", away)
    response = client.get("/readyz")
    assert (response.status_code, response.json()["layer"]) == (200, "degraded")
