"""Whatever a forger sends is 401 in the envelope, never 500: at every door that reads a token."""

import base64
import hashlib
import hmac
import json
import time
import uuid

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from common.errors import TokenNotValid
from sessions.authentication import authenticate
from sessions.tests.clock import LOGOUT, REFRESH, SESSIONS, VERIFY, envelope
from sessions.tokens import keys

SECRET = "x" * 16 + "0123456789abcdefghijklmnopqrstuv"


@pytest.fixture(autouse=True)
def _own_key(settings):
    settings.JWT_SIGNING_KEYS = [f"k1:{SECRET}"]


def b64(data):
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header, payload, secret=None):
    """Sign what no library would: any header, any payload."""
    secret = SECRET.encode() if secret is None else secret
    text = f"{b64(header)}.{b64(payload)}"
    return f"{text}.{b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


HEADER = {"alg": "HS256", "typ": "JWT", "kid": "k1"}


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


def mutate(token, **changes):
    """Return the claims of `token` with these changed; `None` removes one. Signed with the right key."""
    claims = {**claims_of(token), **changes}
    return signed(HEADER, {name: value for name, value in claims.items() if value is not ...})


def without(token, name):
    return mutate(token, **{name: ...})


def flipped(token, part, position=5):
    parts = token.split(".")
    char = "A" if parts[part][position] != "A" else "B"
    parts[part] = parts[part][:position] + char + parts[part][position + 1 :]
    return ".".join(parts)


def lacking(name):
    return lambda token: without(token, name)


def with_value(name, value):
    return lambda token: mutate(token, **{name: value})


def public_pem():
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


NOW = int(time.time())
OTHER = str(uuid.uuid4())

# What a token is turned into, by name. Each must be refused as an access token and as a refresh token.
FORGERIES = {
    "empty parts": lambda t: "..",
    "one part": lambda t: "abc",
    "two parts": lambda t: t.rpartition(".")[0],
    "four parts": lambda t: t + ".abcd",
    "no signature": lambda t: t.rpartition(".")[0] + ".",
    "alg none": lambda t: f"{b64({'alg': 'none', 'kid': 'k1'})}.{t.split('.')[1]}.",
    "alg None with a signature": lambda t: signed({"alg": "None", "kid": "k1"}, claims_of(t)),
    "alg nOnE": lambda t: f"{b64({'alg': 'nOnE', 'kid': 'k1'})}.{t.split('.')[1]}.",
    "alg missing": lambda t: signed({"kid": "k1"}, claims_of(t)),
    "alg a number": lambda t: signed({"alg": 256, "kid": "k1"}, claims_of(t)),
    "alg a list": lambda t: signed({"alg": ["HS256"], "kid": "k1"}, claims_of(t)),
    "alg another of the family": lambda t: jwt.encode(claims_of(t), SECRET, "HS512", headers={"kid": "k1"}),
    "alg RS256 on a secret": lambda t: signed({"alg": "RS256", "kid": "k1"}, claims_of(t)),
    "alg lower case": lambda t: signed({"alg": "hs256", "kid": "k1"}, claims_of(t)),
    "kid missing": lambda t: signed({"alg": "HS256"}, claims_of(t)),
    "kid empty": lambda t: signed({**HEADER, "kid": ""}, claims_of(t)),
    "kid unknown": lambda t: signed({**HEADER, "kid": "k2"}, claims_of(t)),
    "kid a path": lambda t: signed({**HEADER, "kid": "../../../../dev/null"}, claims_of(t), b""),
    "kid SQL": lambda t: signed({**HEADER, "kid": "' UNION SELECT 'x"}, claims_of(t), b"x"),
    "kid a number": lambda t: signed({**HEADER, "kid": 1}, claims_of(t)),
    "kid null": lambda t: signed({**HEADER, "kid": None}, claims_of(t)),
    "kid a list": lambda t: signed({**HEADER, "kid": ["k1"]}, claims_of(t)),
    "kid an object": lambda t: signed({**HEADER, "kid": {"k1": 1}}, claims_of(t)),
    "crit": lambda t: signed({**HEADER, "crit": ["exp"]}, claims_of(t)),
    "crit empty": lambda t: signed({**HEADER, "crit": []}, claims_of(t)),
    "b64 false": lambda t: signed({**HEADER, "b64": False}, claims_of(t)),
    "jku": lambda t: signed({**HEADER, "jku": "http://127.0.0.1:1/k"}, claims_of(t), b"forger's own key" * 2),
    "jwk": lambda t: signed({**HEADER, "jwk": {"kty": "oct", "k": b64(b"y" * 32)}}, claims_of(t), b"y" * 32),
    "x5u": lambda t: signed({**HEADER, "x5u": "file:///etc/passwd"}, claims_of(t), b"y" * 32),
    "header a list": lambda t: signed([], claims_of(t)),
    "header not JSON": lambda t: f"{b64(b'{')}.{t.split('.')[1]}.{t.split('.')[2]}",
    "header not base64": lambda t: "!!!." + t.partition(".")[2],
    "header bit flipped": lambda t: flipped(t, 0),
    "claims bit flipped": lambda t: flipped(t, 1),
    "signature bit flipped": lambda t: flipped(t, 2),
    "signature of zero bytes": lambda t: signed(HEADER, claims_of(t), b""),
    "signed with SECRET_KEY": lambda t: signed(HEADER, claims_of(t), _secret_key()),
    "claims a list": lambda t: signed(HEADER, []),
    "claims a string": lambda t: signed(HEADER, "text"),
    "claims null": lambda t: signed(HEADER, None),
    "claims not JSON": lambda t: signed(HEADER, b"{"),
    "claims empty": lambda t: signed(HEADER, {}),
    "claims nested deep": lambda t: signed(HEADER, b"[" * 3_000 + b"]" * 3_000),
    "claims NaN": lambda t: signed(HEADER, b'{"exp": NaN}'),
    "claims not UTF-8": lambda t: signed(HEADER, b"\xff\xfe"),
    "another person's": lambda t: mutate(t, user_id=str(int(claims_of(t)["user_id"]) + 1)),
    "nobody's": lambda t: mutate(t, user_id="999999999"),
    "another session's": lambda t: mutate(t, sid=OTHER),
    **{f"{name} missing": lacking(name) for name in ("token_type", "exp", "iat", "jti", "user_id", "sid", "gen")},
    **{
        f"{name} is {value!r:.20}": with_value(name, value)
        for name in ("token_type", "exp", "iat", "jti", "user_id", "sid", "gen")
        for value in (None, True, -1, 1.5, [], {}, "", "x", "١٢٣", 10**30, "' OR 1=1 --", "\x00", "9" * 40)
    },
    "user_id a number": lambda t: mutate(t, user_id=int(claims_of(t)["user_id"])),
    "user_id with a zero in front": lambda t: mutate(t, user_id="0" + claims_of(t)["user_id"]),
    "user_id beyond the column": lambda t: mutate(t, user_id=str(2**63)),
    "sid with braces": lambda t: mutate(t, sid="{" + claims_of(t)["sid"] + "}"),
    "sid without dashes": lambda t: mutate(t, sid=claims_of(t)["sid"].replace("-", "")),
    "gen of the future": lambda t: mutate(t, gen=7),
    "nbf of the future": lambda t: mutate(t, nbf=NOW + 3_600),
    "nbf a text": lambda t: mutate(t, nbf="tomorrow"),
    "exp of the past": lambda t: mutate(t, exp=NOW - 3_600),
    "token_type sliding": lambda t: mutate(t, token_type="sliding"),
    "20 kB": lambda t: t + "A" * 20_000,
    "20 kB of claims": lambda t: mutate(t, extra="x" * 20_000),
    "spaces inside the claims": lambda t: t.replace(".", ". ", 1),
    "not ASCII": lambda t: t + "é",
    "Arabic": lambda t: "رمز.رمز.رمز",
    "newline": lambda t: t[:20] + "\n" + t[20:],
    "padding": lambda t: t.replace(".", "==.", 1),
    "padding of the claims": lambda t: "==.".join(t.rsplit(".", 1)),
    "padding of the signature": lambda t: t + "=",
    "another spelling of the signature": lambda t: t[:-1] + _sibling(t[-1]),
    "a signature in the other alphabet": lambda t: t.translate(str.maketrans("-_", "+/")) + "+",
    "exp beyond every calendar": lambda t: mutate(t, exp=2**39),
    "exp just beyond what we read": lambda t: mutate(t, exp=2**37),
}


def _sibling(char):
    """Return a character whose four bits of a signature's last byte are the same: only dropped bits differ."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(char) ^ 1]


def _secret_key():
    from django.conf import settings

    return settings.SECRET_KEY.encode()


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_token_is_401_at_every_door(api, alice_api, name):
    forge = FORGERIES[name]
    pair = alice_api.started.tokens
    access, refresh = forge(pair.access), forge(pair.refresh)
    response = api.get(SESSIONS, HTTP_AUTHORIZATION=f"Bearer {access}")
    if name != "spaces inside the claims":
        envelope(response, 401, "token_not_valid")
    with pytest.raises(TokenNotValid):  # what the socket calls
        authenticate(access)
    envelope(api.post(REFRESH, {"refresh": refresh}), 401, "token_not_valid", action="login")
    for token in (access, refresh):
        envelope(api.post(VERIFY, {"token": token}), 401, "token_not_valid")
    if name not in {"exp of the past", "gen of the future"}:  # signed by us for this session: these may end it
        assert api.post(LOGOUT, {"refresh": refresh}).json() == {"success": True}
        assert alice_api.get(SESSIONS).status_code == 200


def test_a_refresh_token_is_no_access_token_and_the_other_way_round(api, alice_api):
    pair = alice_api.started.tokens
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {pair.refresh}")
    envelope(api.get(SESSIONS), 401, "token_not_valid", "wrong_type", "refresh")
    api.credentials()
    envelope(api.post(REFRESH, {"refresh": pair.access}), 401, "token_not_valid", "wrong_type", "login")
    with pytest.raises(TokenNotValid, match="wrong_type"):
        authenticate(pair.refresh)
    # A type written over another one still has the other's jti.
    envelope(
        api.post(REFRESH, {"refresh": mutate(pair.access, token_type="refresh")}), 401, "token_not_valid", "invalid"
    )


def test_a_public_key_is_no_secret(api, alice_api, settings):
    """Key confusion: a token signed by HMAC with the text of the RSA public key."""
    pem = public_pem()
    settings.JWT_SIGNING_KEYS = [f"k1:{SECRET}", f"rsa:{pem.decode()}"]
    forged = signed({**HEADER, "kid": "rsa"}, claims_of(alice_api.started.tokens.access), pem)
    envelope(api.get(SESSIONS, headers={"Authorization": f"Bearer {forged}"}), 401, "token_not_valid", "invalid")
    forged = signed({"alg": "RS256", "kid": "rsa"}, claims_of(alice_api.started.tokens.access), pem)
    envelope(api.get(SESSIONS, headers={"Authorization": f"Bearer {forged}"}), 401, "token_not_valid", "invalid")


def test_a_key_of_one_kind_signs_for_no_other_kid(api, alice_api, settings):
    forger = ed25519.Ed25519PrivateKey.generate()
    settings.JWT_SIGNING_KEYS = [f"k1:{SECRET}", keys.generate("EdDSA", "ed")]
    for kid in ("k1", "ed"):
        forged = jwt.encode(claims_of(alice_api.started.tokens.access), forger, "EdDSA", headers={"kid": kid})
        envelope(api.get(SESSIONS, headers={"Authorization": f"Bearer {forged}"}), 401, "token_not_valid", "invalid")


@pytest.mark.parametrize("token", [RefreshToken, AccessToken])
def test_simplejwt_s_own_tokens_have_no_session(api, alice, token):
    own = str(token.for_user(alice))
    envelope(api.get(SESSIONS, headers={"Authorization": f"Bearer {own}"}), 401, "token_not_valid", "invalid")
    envelope(api.post(REFRESH, {"refresh": own}), 401, "token_not_valid", "invalid", "login")


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer a b", "bearer x", "BEARER x.y.z", "Bearer\tx"])
def test_a_crooked_header_is_401(api, db, header):
    envelope(api.get(SESSIONS, HTTP_AUTHORIZATION=header), 401, "token_not_valid", "invalid", "refresh")


@pytest.mark.parametrize("header", ["", "Basic YTpi", "Token abc", "abc", "\x00"])
def test_another_scheme_is_no_credential(api, db, header):
    envelope(api.get(SESSIONS, HTTP_AUTHORIZATION=header), 401, "not_authenticated", action="login")


def test_issuer_and_audience_are_checked_where_configured(api, sign_in, alice, settings):
    plain = sign_in(alice).started.tokens.access
    settings.JWT_ISSUER, settings.JWT_AUDIENCE = "https://id.example.com", "chat"
    started = sign_in(alice).started
    claims = claims_of(started.tokens.access)
    assert (claims["iss"], claims["aud"]) == ("https://id.example.com", "chat")
    good = started.tokens.access

    def answer(token):
        return api.get(SESSIONS, headers={"Authorization": f"Bearer {token}"})

    assert answer(good).status_code == 200
    assert answer(mutate(good, aud=["other", "chat"])).status_code == 200
    assert api.post(REFRESH, {"refresh": started.tokens.refresh}).status_code == 200
    for bad in (
        plain, without(good, "iss"), without(good, "aud"), mutate(good, iss="https://id.example.com.evil"),
        mutate(good, aud="other"), mutate(good, aud=[]), mutate(good, aud=None), mutate(good, iss=None),
    ):  # fmt: skip
        envelope(answer(bad), 401, "token_not_valid", "invalid")


def test_an_iat_of_the_future_refuses_nothing(alice_api):
    """A server whose clock was ahead signed it: order comes from the counter."""
    token = mutate(alice_api.started.tokens.access, iat=NOW + 3_600)
    assert authenticate(token).user_id == alice_api.started.user_session.user_id
