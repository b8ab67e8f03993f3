"""Finding people by the beginning of a name."""

import pytest

from users.models import User

pytestmark = pytest.mark.django_db
URL = "/api/users/search/"


def found(api, query, **more):
    answer = api.get(URL, {"q": query, **more})
    assert answer.status_code == 200, answer.data
    return [person["username"] for person in answer.data["results"]]


@pytest.fixture
def people(person):
    person("bernard", first_name="Émile", last_name="Zola")
    person("berta", first_name="Berta", last_name="Ng")
    person("percent", first_name="100%", last_name="a_b")
    person("beryl", is_active=False)


def test_each_word_begins_a_name(alice_api, people):
    assert found(alice_api, "ber") == ["bernard", "berta"]
    assert found(alice_api, "BER") == ["bernard", "berta"]
    assert found(alice_api, "ém") == ["bernard"]
    assert found(alice_api, "ÉMILE zo") == ["bernard"]
    assert found(alice_api, "émile ng") == []
    assert found(alice_api, "rnard") == []


def test_nothing_but_id_and_names_is_shown(alice_api, people):
    answer = alice_api.get(URL, {"q": "berta"})
    assert set(answer.data) == {"next", "previous", "results"}
    assert [set(row) for row in answer.data["results"]] == [{"id", "username", "first_name", "last_name"}]


def test_addresses_and_numbers_find_nobody(alice_api, people):
    User.objects.update(phone_number="+33142685300")
    assert found(alice_api, "berta@example.com") == []
    assert found(alice_api, "+3314") == []


def test_wildcards_are_letters(alice_api, people):
    assert found(alice_api, "100%") == ["percent"]
    assert found(alice_api, "a_") == ["percent"]
    assert found(alice_api, "%%") == []
    assert found(alice_api, "__") == []


def test_oneself_and_the_closed_are_not_found(alice_api, people):
    assert found(alice_api, "alice") == []
    assert found(alice_api, "beryl") == []
    assert found(alice_api, "deleted") == []


@pytest.mark.parametrize("query", ["", "a", " a ", "\0\0", "a\0b"])
def test_less_than_two_characters_is_400(alice_api, query):
    answer = alice_api.get(URL, {"q": query})
    assert (answer.status_code, set(answer.data["errors"])) == (400, {"q"})


def test_pages(alice_api, person):
    for number in range(5):
        person(f"page{number}")
    first = alice_api.get(URL, {"q": "page", "limit": 2}).data
    assert [row["username"] for row in first["results"]] == ["page0", "page1"]
    assert first["previous"] is None
    second = alice_api.get(first["next"]).data
    assert [row["username"] for row in second["results"]] == ["page2", "page3"]
    assert alice_api.get(URL, {"q": "page", "cursor": "nonsense"}).status_code == 404


def test_nobody_is_401(api):
    assert api.get(URL, {"q": "ab"}).status_code == 401
