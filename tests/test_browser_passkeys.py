"""Passkeys in a real browser with its virtual authenticator: made, used without a name, refused without the person."""

import json

import pytest

from tests import chromium, live

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(chromium.BINARY is None, reason="needs Chromium: apt-get install chromium"),
]
CALLS = """
window.call = async (path, body, token) => {
  const answer = await fetch('/api/auth/' + path, {
    method: 'POST', body: JSON.stringify(body || {}),
    headers: {'Content-Type': 'application/json', ...(token ? {Authorization: 'Bearer ' + token} : {})},
  });
  return {status: answer.status, body: await answer.json()};
};
window.make = async (token) => {
  const options = (await call('factors/passkeys/options/', {}, token)).body;
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  const made = await navigator.credentials.create({publicKey});
  return call('factors/passkeys/', {credential: made.toJSON(), name: 'Browser'}, token);
};
window.use = async (mediation) => {
  const options = (await call('passkey/options/')).body;
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  const found = await navigator.credentials.get({publicKey, ...(mediation ? {mediation} : {})});
  return call('passkey/', {credential: found.toJSON()});
};
true
"""


@pytest.fixture(scope="module")
def server(shared: live.Server) -> live.Server:
    return shared


async def plug_in(tab: chromium.Tab, *, verified: bool) -> str:
    await tab.call("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": verified,
        "automaticPresenceSimulation": True,
    }
    return str((await tab.call("WebAuthn.addVirtualAuthenticator", options=options))["authenticatorId"])


async def test_a_passkey_is_made_and_signs_in_without_a_name(server):
    person = server.person()
    async with chromium.tab() as tab:
        await tab.go(f"{server.base.replace('127.0.0.1', 'localhost')}/verify-email/")
        device = await plug_in(tab, verified=True)
        await tab.run(CALLS)
        made = await tab.run(f"make({json.dumps(person.access)})")
        assert made["status"] == 201, made
        for mediation in ("", "conditional"):
            used = await tab.run(f"use({json.dumps(mediation)})")
            assert used["status"] == 200, used
            assert used["body"]["user"]["id"] == person.id
            assert used["body"]["session"]["amr"] == ["hwk", "mfa"]
        # The person does not show a finger: the browser itself refuses, since the options demand it.
        await tab.call("WebAuthn.setUserVerified", authenticatorId=device, isUserVerified=False)
        said = await tab.run("use('').then((answer) => String(answer.status), (error) => error.name)")
        assert said == "NotAllowedError"
