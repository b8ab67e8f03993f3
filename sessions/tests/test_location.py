"""Where a session is from, offline and honestly."""

import mmdb_writer
import netaddr
import pytest
from django.utils import translation

from sessions.places import location
from sessions.tests.clock import SESSIONS


@pytest.mark.parametrize(
    "address",
    [None, "", "nonsense", "127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.1.1", "100.64.0.1",
     "203.0.113.7", "::1", "fe80::1", "fc00::1", "2001:db8::1"],
)  # fmt: skip
def test_a_private_address_is_nowhere(address):
    assert location.lookup(address) is None


def test_the_country_comes_without_any_file():
    assert location.lookup("105.96.0.1") == {"country": "DZ", "region": None, "city": None}
    assert location.lookup("2a01:e00::1")["country"] == "FR"


@pytest.mark.parametrize(
    ("language", "name"), [("en", "Algeria"), ("fr", "Algérie"), ("ar", "الجزائر"), ("fr-ca", "Algérie")]
)
def test_the_country_s_name_is_in_the_reader_s_language(language, name):
    with translation.override(language):
        assert location.described({"country": "DZ", "region": None, "city": None})["country_name"] == name


def test_a_country_that_has_no_name_shows_its_code():
    assert location.country_name("QQ") == "QQ"


def write(path, record):
    writer = mmdb_writer.MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="City")
    writer.insert_network(netaddr.IPSet(["105.96.0.0/16"]), record)
    writer.to_db_file(str(path))


NESTED = {
    "country": {"iso_code": "DZ"},
    "city": {"names": {"en": "Algiers", "fr": "Alger"}},
    "subdivisions": [{"names": {"en": "Algiers Province"}}],
}
FLAT = {"country_code": "DZ", "state1": "Oran Province", "city": "Oran"}


def test_both_shapes_of_city_file_are_read_and_a_new_one_is_noticed(settings, tmp_path):
    file = tmp_path / "city.mmdb"
    write(file, NESTED)
    settings.GEOIP_DATABASE = str(file)
    assert location.lookup("105.96.0.1") == {"country": "DZ", "region": "Algiers Province", "city": "Algiers"}
    new = tmp_path / "new.mmdb"
    write(new, FLAT)
    new.replace(file)
    location._city.checked = 0  # some seconds later
    assert location.lookup("105.96.0.1") == {"country": "DZ", "region": "Oran Province", "city": "Oran"}
    assert location.lookup("8.8.8.8") == {"country": "US", "region": None, "city": None}  # not in the file


@pytest.mark.parametrize("record", [{"country": 5, "city": ["x"]}, {"city": {"names": 1}}, {"subdivisions": {}}])
def test_an_odd_record_is_read_as_far_as_it_goes(settings, tmp_path, record):
    write(tmp_path / "odd.mmdb", record)
    settings.GEOIP_DATABASE = str(tmp_path / "odd.mmdb")
    assert location.lookup("105.96.0.1") == {"country": "DZ", "region": None, "city": None}


def test_a_missing_or_broken_file_keeps_nobody_out(settings, tmp_path, sign_in, alice):
    broken = tmp_path / "broken.mmdb"
    broken.write_bytes(b"no database")
    for path in (broken, tmp_path / "missing.mmdb"):
        settings.GEOIP_DATABASE = str(path)
        assert location.lookup("105.96.0.1")["country"] == "DZ"
        assert sign_in(alice).get(SESSIONS).status_code == 200
