"""The key ring: the first signs, all verify, none is weak, none is refused while a token of it lives."""

import os
import stat

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from django.core.management import CommandError, call_command

from sessions import checks
from sessions.tests.clock import REFRESH, SESSIONS, envelope
from sessions.tokens import keys

ONE, TWO = f"one:{'1' * 40}", f"two:{'2' * 40}"


def kid(token):
    return jwt.get_unverified_header(token)["kid"]


def seen(api, token):
    return api.get(SESSIONS, headers={"Authorization": f"Bearer {token}"}).status_code


def private_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def public_pem(key):
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def test_rotating_the_key_refuses_nobody(api, sign_in, alice, settings):
    settings.JWT_SIGNING_KEYS = [ONE]
    old = sign_in(alice).started.tokens
    settings.JWT_SIGNING_KEYS = [TWO, ONE]
    assert seen(api, old.access) == 200
    new = api.post(REFRESH, {"refresh": old.refresh}).json()
    assert (kid(old.refresh), kid(new["refresh"]), kid(new["access"])) == ("one", "two", "two")
    settings.JWT_SIGNING_KEYS = [TWO]
    assert seen(api, old.access) == 401
    assert seen(api, new["access"]) == 200


def test_a_retry_is_signed_with_the_key_of_the_first_answer(api, sign_in, alice, settings):
    settings.JWT_SIGNING_KEYS = [ONE]
    parent = sign_in(alice).started.tokens.refresh
    first = api.post(REFRESH, {"refresh": parent}).json()["refresh"]
    settings.JWT_SIGNING_KEYS = [TWO, ONE]
    assert api.post(REFRESH, {"refresh": parent}).json()["refresh"] == first
    settings.JWT_SIGNING_KEYS = [TWO]
    envelope(api.post(REFRESH, {"refresh": parent}), 401, "token_not_valid", "invalid", "login")


@pytest.mark.parametrize("algorithm", keys.ALGORITHMS)
def test_each_algorithm_signs_the_same_bytes_again(api, sign_in, alice, settings, algorithm):
    settings.JWT_ALGORITHM = algorithm
    settings.JWT_SIGNING_KEYS = [keys.generate(algorithm, "k")]
    started = sign_in(alice).started
    assert jwt.get_unverified_header(started.tokens.access) == {"alg": algorithm, "typ": "JWT", "kid": "k"}
    assert seen(api, started.tokens.access) == 200
    answers = {api.post(REFRESH, {"refresh": started.tokens.refresh}).json()["refresh"] for _ in range(3)}
    assert len(answers) == 1


def test_keys_of_several_kinds_verify_side_by_side(api, sign_in, alice, settings):
    tokens = []
    ring = []
    for algorithm in keys.ALGORITHMS:
        ring.insert(0, keys.generate(algorithm, algorithm.lower()))
        settings.JWT_ALGORITHM, settings.JWT_SIGNING_KEYS = algorithm, list(ring)
        tokens.append(sign_in(alice).started.tokens.access)
    assert [seen(api, token) for token in tokens] == [200, 200, 200]


def test_public_keys_are_published_and_verify_our_tokens(api, sign_in, alice, settings):
    settings.JWT_ALGORITHM = "EdDSA"
    settings.JWT_SIGNING_KEYS = [keys.generate("EdDSA", "ed"), keys.generate("RS256", "rsa"), ONE]
    token = sign_in(alice).started.tokens.access
    response = api.get("/.well-known/jwks.json")
    jwks = response.json()["keys"]
    assert [(jwk["kid"], jwk["kty"], jwk["alg"], jwk["use"]) for jwk in jwks] == [
        ("ed", "OKP", "EdDSA", "sig"),
        ("rsa", "RSA", "RS256", "sig"),
    ]
    assert not {"d", "p", "q", "k"} & {name for jwk in jwks for name in jwk}
    claims = jwt.decode(token, jwt.PyJWK(jwks[0]).key, algorithms=["EdDSA"])
    assert claims["user_id"] == str(alice.pk)


def test_with_shared_secrets_there_is_nothing_to_publish(api, db, settings):
    settings.JWT_SIGNING_KEYS = [ONE]
    response = api.get("/.well-known/jwks.json")
    assert (response.status_code, response.json()) == (200, {"keys": []})


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65_537, 2048)])
def test_keys_may_be_pem_in_a_line_or_in_a_file(settings, tmp_path, key):
    settings.JWT_ALGORITHM = algorithm = "EdDSA" if isinstance(key, ed25519.Ed25519PrivateKey) else "RS256"
    (tmp_path / "key.pem").write_text(private_pem(key))
    for text in (private_pem(key), private_pem(key).replace("\n", "\\n"), str(tmp_path / "key.pem")):
        ring = keys.build([f"k:{text}", f"old:{public_pem(key)}"])
        assert ring.signer.algorithm == algorithm
        assert ring.keys["old"].signing is None


@pytest.mark.parametrize(
    "entries",
    [
        [],
        ["onlyakid"],
        ["k:"],
        ["k:short"],
        ["k:" + "é" * 15],
        ["a/b:" + "1" * 40],
        [":" + "1" * 40],
        ["x" * 65 + ":" + "1" * 40],
        [ONE, ONE],
        [ONE, "k:/no/such/file"],
        ["@/no/such/ring"],
        [ONE, "k:EdDSA:!!!"],
        [ONE, "k:EdDSA:AAAA"],
        [ONE, "k:-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"],
        [ONE, f"k:{private_pem(ec.generate_private_key(ec.SECP256R1()))}"],
        [ONE, f"k:{private_pem(rsa.generate_private_key(65_537, 1024))}"],
        [f"k:{public_pem(ed25519.Ed25519PrivateKey.generate())}"],
        [keys.generate("EdDSA", "k")],
        [ONE, "k:RS256:" + keys.generate("EdDSA").split(":")[2]],
    ],
)
def test_a_weak_or_broken_ring_stops_the_start_and_shows_no_key(settings, entries):
    settings.JWT_SIGNING_KEYS = entries
    settings.PRODUCTION, settings.SECRET_KEY = True, ""
    (error,) = checks.check_keys()
    assert error.id == "sessions.E003"
    for entry in entries:
        secret = entry.partition(":")[2]
        assert not (len(secret) > 20 and secret[:20] in error.msg)
    assert "1111" not in repr(keys.parse(ONE))


def test_an_unknown_algorithm_stops_the_start(settings):
    settings.JWT_SIGNING_KEYS, settings.JWT_ALGORITHM = [ONE], "ES256"  # not deterministic: a retry would differ
    assert [error.id for error in checks.check_keys()] == ["sessions.E003"]


def test_the_embedded_default_has_its_own_key_file(settings, tmp_path, sign_in, alice):
    settings.VAR_DIR, settings.JWT_SIGNING_KEYS, settings.PRODUCTION = tmp_path, [], False
    keys._loaded.clear()
    ring = keys.ring()
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert settings.SECRET_KEY not in file.read_text()
    keys._loaded.clear()
    assert keys.ring().keys == ring.keys  # a restart finds it again
    keys._loaded.clear()


def test_production_without_keys_derives_one_from_the_secret_key(settings):
    settings.JWT_SIGNING_KEYS, settings.PRODUCTION, settings.SECRET_KEY = [], True, "s" * 50
    ring = keys.ring()
    assert ring.derived
    assert list(ring.keys) == ["derived"]
    assert ring.signer.signing != settings.SECRET_KEY.encode()
    first = ring.signer.signing
    settings.SECRET_KEY = "t" * 50
    assert keys.ring().signer.signing != first
    settings.JWT_ALGORITHM = "EdDSA"
    assert [error.id for error in checks.check_keys()] == ["sessions.E003"]


@pytest.fixture
def ring_file(settings, tmp_path):
    file = tmp_path / "ring"
    file.write_text(f"# our keys\n{ONE}\n")
    settings.JWT_SIGNING_KEYS = [f"@{file}"]
    return file


def test_the_command_puts_a_new_key_in_force_on_a_live_server(ring_file, api, sign_in, alice, capsys):
    old = sign_in(alice).started.tokens
    call_command("rotate_signing_key", "--kid", "new")
    text = capsys.readouterr().out
    assert "new signs from now on" in text
    assert "(one)" in text
    assert stat.S_IMODE(os.stat(ring_file).st_mode) == 0o600
    keys._loaded.checked = 0  # a second later
    new = api.post(REFRESH, {"refresh": old.refresh}).json()
    assert (kid(new["refresh"]), seen(api, old.access), seen(api, new["access"])) == ("new", 200, 200)

    with pytest.raises(CommandError, match="signs"):
        call_command("rotate_signing_key", "--remove", "new")
    call_command("rotate_signing_key", "--remove", "one")
    keys._loaded.checked = 0
    assert (seen(api, old.access), seen(api, new["access"])) == (401, 200)


def test_a_process_that_has_not_looked_yet_knows_a_new_key_at_its_first_token(ring_file, api, sign_in, alice):
    sign_in(alice)  # the ring is loaded and was looked at just now
    other_process = keys.build([TWO, ONE])
    keys.write_ring(ring_file, [TWO, ONE])
    claims = jwt.decode(sign_in(alice).started.tokens.access, options={"verify_signature": False})
    import json

    token = other_process.signer.sign(json.dumps(claims).encode())
    assert kid(token) == "two"
    assert seen(api, token) == 200


def test_a_ring_file_that_is_broken_meanwhile_stops_nobody(ring_file, api, sign_in, alice):
    token = sign_in(alice).started.tokens.access
    for text in ("", "half an ent", None):
        ring_file.unlink() if text is None else ring_file.write_text(text)
        keys._loaded.checked = 0
        assert seen(api, token) == 200
    ring_file.write_text(f"{TWO}\n{ONE}\n")
    keys._loaded.checked = 0
    assert (seen(api, token), kid(sign_in(alice).started.tokens.access)) == (200, "two")


def test_the_command_prints_the_steps_where_there_is_no_ring_file(settings, capsys):
    settings.JWT_SIGNING_KEYS = [ONE]
    call_command("rotate_signing_key", "--algorithm", "EdDSA", "--kid", "ed")
    text = capsys.readouterr().out
    assert "ed:EdDSA:" in text
    assert "1. Put it last" in text
    assert "JWT_ALGORITHM=EdDSA" in text
    assert "1111" not in text
    with pytest.raises(CommandError):
        call_command("rotate_signing_key", "--kid", "one")
    with pytest.raises(CommandError):
        call_command("rotate_signing_key", "--kid", "no/slash")


@pytest.mark.parametrize(
    ("name", "value", "id_"),
    [
        ("REFRESH_REUSE_INTERVAL", 61, "sessions.E004"),
        ("REFRESH_REUSE_INTERVAL", -1, "sessions.E004"),
        ("JWT_LEEWAY", -1, "sessions.E005"),
        ("SESSION_IDLE_LIFETIME", 0, "sessions.E006"),
        ("REMEMBER_ME_ABSOLUTE_LIFETIME", 0, "sessions.E006"),
        ("ACCESS_TOKEN_LIFETIME", 0, "sessions.E007"),
    ],
)
def test_impossible_lifetimes_stop_the_start(settings, name, value, id_):
    assert checks.check_lifetimes() == []
    setattr(settings, name, value)
    assert [error.id for error in checks.check_lifetimes()] == [id_]


def test_without_blacklist_or_rotation_it_does_not_start(settings):
    assert checks.check_blacklist() == []
    settings.SIMPLE_JWT = {**settings.SIMPLE_JWT, "ROTATE_REFRESH_TOKENS": False}
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if "blacklist" not in app]
    assert [error.id for error in checks.check_blacklist()] == ["sessions.E001", "sessions.E002"]


@pytest.mark.parametrize(
    ("secret", "id_"),
    [
        ("a" * 40, "sessions.E008"),
        ("0123456789" * 4, "sessions.W008"),
        ("5f3c9a0be7d14826b1e97c02d48fa6359cd0e71b", None),
    ],
)
def test_a_key_that_could_be_guessed_is_named_in_production(settings, secret, id_):
    settings.PRODUCTION, settings.JWT_SIGNING_KEYS = True, [f"k:{secret}"]
    assert [found.id for found in checks.check_keys()] == ([id_] if id_ else [])
