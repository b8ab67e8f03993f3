"""Dashboards and alert rules ask for figures that there are."""

import json
import re

import pytest
import yaml
from django.conf import settings
from prometheus_client import REGISTRY

from config.metrics import FromTheDatabase

FOLDER = settings.BASE_DIR / "grafana"
DASHBOARD = json.loads((FOLDER / "alviar.json").read_text())
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]


def asked_for():
    expressions = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    return {
        name for text in [*expressions, *(rule["expr"] for rule in RULES)] for name in re.findall(r"alviar_\w+", text)
    }


def there_are():
    """Return every name as a scrape spells it."""
    found = set()
    for family in [*REGISTRY.collect(), *FromTheDatabase().collect()]:
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        found |= {family.name + ending for ending in endings}
    return {name for name in found if name.startswith("alviar_")}


@pytest.mark.django_db
def test_every_figure_that_is_asked_for_is_there():
    assert asked_for()
    assert asked_for() <= there_are()


@pytest.mark.django_db
def test_every_figure_is_documented_and_nothing_else():
    text = (settings.BASE_DIR / "docs" / "metrics.md").read_text()
    documented = set(re.findall(r"`(alviar_\w+)`", text))
    assert documented == {re.sub(r"_(bucket|sum|count)$", "", name) for name in there_are()}


def test_every_alert_says_how_bad_it_is_and_what_it_means():
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"page", "warn"}
        assert rule["annotations"]["summary"]
        assert rule["expr"].count("(") == rule["expr"].count(")")
