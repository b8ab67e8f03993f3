"""What we hold about a person, as a download."""

import pytest

from common.signals import user_exporting

pytestmark = pytest.mark.django_db
URL = "/api/users/me/export/"


def test_it_is_a_download_of_ones_own(alice_api, alice, bob):
    def add(user_id, **kwargs):
        return {"extra": {"of": user_id}}

    user_exporting.connect(add)
    answer = alice_api.get(URL)
    user_exporting.disconnect(add)
    assert answer.status_code == 200
    assert answer["Content-Disposition"] == 'attachment; filename="alviar-export.json"'
    assert answer["Content-Type"].startswith("application/json")
    data = answer.json()
    assert data["user"]["email"] == "alice@example.com"
    assert data["extra"] == {"of": alice.pk}
    assert "bob" not in answer.content.decode()


def test_it_holds_no_secret(alice_api, alice):
    text = alice_api.get(URL).content.decode()
    assert alice.password not in text
    assert "argon2" not in text
    assert "refresh_claims" not in text


def test_nobody_is_401(api):
    assert api.get(URL).status_code == 401
