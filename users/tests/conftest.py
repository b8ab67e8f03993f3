import pytest
from django.core.cache.backends.locmem import LocMemCache

from common import rates


@pytest.fixture(autouse=True)
def rates_in_this_process(monkeypatch):
    """Rates follow the moved clock, which a real Valkey does not; `common/tests/test_rates.py` tries that one."""
    store = LocMemCache("tests-of-users", {})
    monkeypatch.setattr(rates, "cache", store)
    yield
    store.clear()
