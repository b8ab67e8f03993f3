"""`api.http` from top to bottom, as an editor's REST client sends it, and the Bruno collection made from it."""

import re
from typing import Any

from django.core.management import call_command

from tools import walk


def _filled(text: str, known: dict[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        name, *path = re.findall(r"[\w-]+", match[1].replace(".response.body", "", 1))
        found = known[name]
        for key in path:
            found = found[int(key) if key.isdigit() else key]
        return str(found)

    return re.sub(r"\{\{(.+?)\}\}", value, text)


def test_the_walk_through_the_api_answers_what_it_says(db, client, settings):
    settings.PRODUCTION, settings.EMBEDDED_DATABASE, settings.HOST = False, True, "127.0.0.1"
    call_command("seed_demo", verbosity=0)
    known: dict[str, Any] = {"host": ""}
    steps = walk.steps((settings.BASE_DIR / "api.http").read_text())
    assert len(steps) > 15
    for step in steps:
        headers = {name: _filled(value, known) for name, value in step.headers.items()}
        content_type = headers.pop("Content-Type", "application/json")
        response = client.generic(
            step.method, _filled(step.url, known), _filled(step.body, known), content_type, headers=headers
        )
        assert response.status_code == step.status, (step.title, response.content[:300])
        if step.name:
            known[step.name] = response.json()


def test_the_bruno_collection_is_in_step():
    written = {
        str(file.relative_to(walk.COLLECTION)): file.read_text()
        for file in [walk.COLLECTION / "bruno.json", *walk.COLLECTION.glob("*/*.bru")]
    }
    assert written == walk.of_the_repository(), "python -m tools.walk"
