"""`api.http` from top to bottom, as an editor's REST client sends it."""

import re
from typing import Any

from django.core.management import call_command


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
    text = (settings.BASE_DIR / "api.http").read_text()
    known: dict[str, Any] = {"host": ""}
    steps = text.split("\n### ")[1:]
    assert len(steps) > 15
    for step in steps:
        title, *lines = step.rstrip().splitlines()
        request = "\n".join(line for line in lines if not line.startswith("#"))
        head, _, body = request.partition("\n\n")
        line, *headers = _filled(head, known).splitlines()
        method, path = line.split(" ", 1)
        named = dict(header.split(": ", 1) for header in headers)
        expected = next(line.split()[-1] for line in lines if line.startswith("# ->"))
        response = client.generic(
            method, path, _filled(body, known), named.pop("Content-Type", "application/json"), headers=named
        )
        assert response.status_code == int(expected), (title, response.content[:300])
        name = next((line.split()[-1] for line in lines if line.startswith("# @name")), None)
        if name:
            known[name] = response.json()
