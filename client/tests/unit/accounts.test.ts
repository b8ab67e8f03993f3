import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Accounts, mfaRequired, reauthenticationRequired } from '@/accounts';
import { AuthClient } from '@/core/auth';
import { ApiError } from '@/core/errors';
import { memoryStorage } from '@/core/storage';
import { fakeFetch, jwt, pair } from '../support/fakes';

const MFA = { detail: 'x', code: 'mfa_required', action: 'mfa', mfa_token: 'm1', methods: ['totp', 'passkey'], expires_in: 300 };
const base64url = (text: string) => Buffer.from(text).toString('base64url');
const bytes = (text: string) => new TextEncoder().encode(text).buffer as ArrayBuffer;

let fresh: boolean;
let server: ReturnType<typeof fakeFetch>;
let auth: AuthClient;
let accounts: Accounts;

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-11-21T10:00:00Z') });
  fresh = false;
  const login = () => ({ body: pair(7) });
  server = fakeFetch({
    'POST /api/auth/login/': ({ body }) => (body.username === 'plain' ? { body: pair(1) } : { status: 401, body: MFA }),
    'POST /api/auth/mfa/': ({ body }) => (body.code === '000000' ? { status: 400, body: { code: 'invalid_code' } } : login()),
    'POST /api/auth/mfa/options/': () => ({ body: { challenge: base64url('c'), allowCredentials: [{ id: base64url('k'), type: 'public-key' }] } }),
    'POST /api/auth/passkey/options/': () => ({ body: { challenge: base64url('c') } }),
    'POST /api/auth/passkey/': login,
    'POST /api/auth/email-code/': () => ({ body: { challenge: 'ch', expires_in: 600 } }),
    'POST /api/auth/email-code/confirm/': login,
    'POST /api/auth/social/google/': login,
    'POST /api/auth/reauthenticate/': () => {
      fresh = true;
      const now = Date.now() / 1000;
      return { body: { access: jwt({ sid: 's1', exp: now + 3600, iat: now, auth_time: now, amr: ['pwd'] }), access_expires_in: 3600, auth_time: now, amr: ['pwd'] } };
    },
    'POST /api/auth/factors/totp/': () =>
      fresh ? { body: { secret: 'S', otpauth_url: '', qr_svg: '' } } : { status: 403, body: { code: 'reauthentication_required', action: 'reauthenticate', methods: ['password'] } },
    'POST /api/auth/factors/passkeys/options/': () => ({ body: { challenge: base64url('c'), user: { id: base64url('u'), name: 'alice' }, excludeCredentials: [] } }),
    'POST /api/auth/factors/passkeys/': ({ body }) => ({ body: { id: 'p1', name: body.name } }),
    'PUT /api/users/sessions/s1/push/': () => ({ body: {} }),
    'DELETE /api/users/sessions/s1/push/': () => ({ status: 204 }),
    'POST /api/users/me/phone/confirm/': () => ({ body: { id: 1, username: 'alice', phone_verified: true } }),
  });
  auth = new AuthClient({ baseUrl: 'http://server', storage: memoryStorage(), fetch: server.fetch, deviceFingerprint: 'phone-1' });
  accounts = new Accounts(auth);
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe('a second factor', () => {
  it('is asked for by a typed error, and ends the login', async () => {
    const error = await auth.login('alice', 'x').catch((reason: unknown) => reason);
    expect(mfaRequired(error)).toMatchObject({ mfa_token: 'm1', methods: ['totp', 'passkey'], expires_in: 300 });
    expect(mfaRequired(new ApiError(401, { code: 'no_active_account' }))).toBeNull();
    expect(auth.getSnapshot().status).not.toBe('signed_in');
    await expect(accounts.verifyMfa('m1', { code: '000000' })).rejects.toMatchObject({ code: 'invalid_code' });
    expect(auth.getSnapshot().status).not.toBe('signed_in');
    await accounts.verifyMfa('m1', { code: '123456' });
    expect(auth.getSnapshot()).toMatchObject({ status: 'signed_in', user: { username: 'alice' } });
  });

  it('may be a passkey, in the JSON of WebAuthn over the bytes of the browser', async () => {
    const get = vi.fn(async (_options: { publicKey: Record<string, unknown> }) => ({
      id: base64url('k'), rawId: bytes('k'), type: 'public-key', authenticatorAttachment: 'platform',
      response: { clientDataJSON: bytes('{}'), authenticatorData: bytes('a'), signature: bytes('s\u00ff'), userHandle: null },
      getClientExtensionResults: () => ({}),
    }));
    vi.stubGlobal('navigator', { credentials: { get } });
    await accounts.verifyMfaByPasskey('m1');
    const { publicKey } = get.mock.calls[0]![0];
    expect(publicKey.challenge).toEqual(new TextEncoder().encode('c'));
    expect((publicKey.allowCredentials as Array<{ id: unknown }>)[0]!.id).toEqual(new TextEncoder().encode('k'));
    expect(server.to('/api/auth/mfa/')[0]!.body).toEqual({
      mfa_token: 'm1',
      credential: {
        id: base64url('k'), rawId: base64url('k'), type: 'public-key', authenticatorAttachment: 'platform', clientExtensionResults: {},
        response: { clientDataJSON: base64url('{}'), authenticatorData: base64url('a'), signature: base64url('s\u00ff') },
      },
    });
  });
});

it.each([
  ['a mailed code', () => accounts.signInWithEmailCode('ch', '123456'), '/api/auth/email-code/confirm/'],
  ['another provider', () => accounts.signInWith('google', { id_token: 'jwt' }), '/api/auth/social/google/'],
  ['a passkey of the phone', () => new Accounts(auth, { get: async () => ({ id: 'k' }), create: async () => ({}) }).signInWithPasskey(), '/api/auth/passkey/'],
])('signs in by %s, as this device', async (_name, signIn, path) => {
  await signIn();
  expect(auth.getSnapshot().status).toBe('signed_in');
  expect(server.to(path)[0]!.body.device_fingerprint).toBe('phone-1');
});

describe('fresh proof', () => {
  it('is asked for where the server wants it, once, and the session stays', async () => {
    await auth.login('plain', 'x');
    expect(accounts.isFresh()).toBe(false);
    const prove = vi.fn(async () => ({ password: 'x' }));
    const { secret } = await accounts.whenFresh(accounts.beginTotp, prove);
    expect(secret).toBe('S');
    expect(prove.mock.calls).toEqual([[['password']]]);
    expect(auth.getSnapshot().sessionId).toBe('s1');
    expect(accounts.isFresh()).toBe(true);
    await accounts.ensureFresh(prove);
    expect(prove).toHaveBeenCalledTimes(1);
    vi.setSystemTime(Date.now() + 16 * 60_000);
    expect(accounts.isFresh()).toBe(false);
    await accounts.ensureFresh(prove);
    expect(prove).toHaveBeenCalledTimes(2);
    // The refresh token is the one of before.
    await auth.logout();
    expect(server.to('/api/auth/logout/')[0]!.body).toEqual({ refresh: 'refresh-1' });
  });

  it('is not asked for by any other refusal', async () => {
    await auth.login('plain', 'x');
    const prove = vi.fn();
    await expect(accounts.whenFresh(accounts.removeTotp, prove)).rejects.toBeInstanceOf(ApiError);
    expect(prove).not.toHaveBeenCalled();
    expect(reauthenticationRequired(new Error('x'))).toBeNull();
  });
});

it('adds a passkey, confirms a number and registers for push with the session of this device', async () => {
  await auth.login('plain', 'x');
  const create = vi.fn(async (_options: { publicKey: { user: { id: unknown } } }) => ({
    id: 'n', rawId: bytes('n'), type: 'public-key', response: { clientDataJSON: bytes('{}'), attestationObject: bytes('o'), getTransports: () => ['internal'] },
  }));
  vi.stubGlobal('navigator', { credentials: { create } });
  expect(await accounts.addPasskey('Laptop')).toMatchObject({ id: 'p1', name: 'Laptop' });
  expect(create.mock.calls[0]![0].publicKey.user.id).toEqual(new TextEncoder().encode('u'));
  expect(server.to('/api/auth/factors/passkeys/')[0]!.body).toMatchObject({ credential: { response: { transports: ['internal'] } } });
  await accounts.confirmPhone('ch', '123456');
  expect(auth.user?.phone_verified).toBe(true);
  await accounts.registerPush({ provider: 'expo', token: 'ExponentPushToken[x]' });
  expect(server.to('/api/users/sessions/s1/push/')[0]!.body).toEqual({ show: 'full', provider: 'expo', token: 'ExponentPushToken[x]' });
  await accounts.unregisterPush();
});
