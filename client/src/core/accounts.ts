/** More than a password: second factors, passkeys, mailed codes, other providers, the telephone, push. */
import type * as Http from '../generated/http.js';
import type { AuthClient } from './auth.js';
import { ApiError } from './errors.js';
import { readClaims } from './jwt.js';
import type { LoginResponse, User, Uuid } from './types.js';

export type FactorMethod = 'password' | 'totp' | 'recovery_code' | 'passkey' | 'social' | (string & {});

/** What a login answers where a second factor is on. */
export interface MfaRequired {
  mfa_token: string;
  methods: FactorMethod[];
  /** Seconds. */
  expires_in: number;
}

/** The JSON form of WebAuthn Level 3, as the server writes and reads it. */
export type WebAuthnJson = Record<string, unknown>;

/** Asks the device. Default: the browser's `navigator.credentials`; on a phone `react-native-passkeys` has this shape. */
export interface CredentialSource {
  get(options: WebAuthnJson): Promise<WebAuthnJson>;
  create(options: WebAuthnJson): Promise<WebAuthnJson>;
}

export type DeviceFields = Pick<Http.PasskeySignInRequest, 'device_fingerprint' | 'device_name' | 'remember_me' | 'device_token'>;

export type Proof =
  | { password: string }
  | { code: string }
  | { credential: WebAuthnJson }
  | { provider: string; id_token: string };

export type Factors = Http.Factors;
export type Passkey = Http.Passkey;
/** `expires_in` in seconds. */
export type Challenge = Http.Challenge;

export type SocialSignIn = Http.SocialSignInRequest;

export type PushRegistration = { show?: 'full' | 'sender' | 'nothing' } & (
  | { provider: 'webpush'; subscription: object }
  | { provider: 'fcm' | 'expo'; token: string }
  | { provider: 'apns'; token: string; environment?: 'production' | 'sandbox' }
);

/** How long a proof of who one is stays fresh on the server. */
export const FRESH_SECONDS = 15 * 60;

/** The second factor that a refused login asks for; null for any other error. */
export function mfaRequired(error: unknown): MfaRequired | null {
  return error instanceof ApiError && error.code === 'mfa_required' ? (error.body as unknown as MfaRequired) : null;
}

/** The ways in which a refused call wants to be told who one is; null for any other error. */
export function reauthenticationRequired(error: unknown): FactorMethod[] | null {
  if (!(error instanceof ApiError) || error.code !== 'reauthentication_required') return null;
  return (error.body as { methods?: FactorMethod[] }).methods ?? [];
}

/** Every call raises `ApiError` or `NetworkError`, and signs in whoever it answers for. */
export class Accounts {
  constructor(
    private readonly auth: AuthClient,
    private readonly credentials: CredentialSource = browserCredentials,
  ) {}

  // Signing in

  /** Ends a login that asked for a second factor: six digits, a recovery code, or a passkey. */
  verifyMfa = (mfaToken: string, proof: { code: string } | { credential: WebAuthnJson }): Promise<LoginResponse> =>
    this.signIn('/api/auth/mfa/', { mfa_token: mfaToken, ...proof });

  verifyMfaByPasskey = async (mfaToken: string): Promise<LoginResponse> => {
    const options = await this.auth.open<WebAuthnJson>('POST', '/api/auth/mfa/options/', { mfa_token: mfaToken });
    return this.verifyMfa(mfaToken, { credential: await this.credentials.get(options) });
  };

  signInWithPasskey = async (device: DeviceFields = {}): Promise<LoginResponse> => {
    const options = await this.auth.open<WebAuthnJson>('POST', '/api/auth/passkey/options/', {});
    return this.signIn('/api/auth/passkey/', { credential: await this.credentials.get(options), ...this.device(device) });
  };

  /** Mails six digits, if the address is known; the answer is the same if it is not. */
  requestEmailCode = (email: string): Promise<Challenge> => this.auth.open('POST', '/api/auth/email-code/', { email });

  signInWithEmailCode = (challenge: string, code: string, device: DeviceFields = {}): Promise<LoginResponse> =>
    this.signIn('/api/auth/email-code/confirm/', { challenge, code, ...this.device(device) });

  /** With the ID token of `google`, `apple` or another provider that the server names. */
  signInWith = (provider: string, { id_token, ...rest }: SocialSignIn): Promise<LoginResponse> =>
    this.signIn(`/api/auth/social/${provider}/`, { id_token, ...this.device(rest) });

  // Proving who one is

  /** True where the last proof is not older than this. Needs no call: the access token says when it was. */
  isFresh = (seconds = FRESH_SECONDS): boolean => {
    const since = readClaims(this.auth.accessToken ?? '')?.auth_time;
    return since !== undefined && this.auth.serverNow() / 1000 - since < seconds;
  };

  /** The same session, fresh. */
  reauthenticate = async (proof: Proof): Promise<void> => {
    const answer = await this.auth.api<{ access: string; access_expires_in: number }>('POST', '/api/auth/reauthenticate/', proof);
    await this.auth.acceptAccess(answer);
  };

  reauthenticateByPasskey = async (): Promise<void> => {
    const options = await this.auth.open<WebAuthnJson>('POST', '/api/auth/passkey/options/', {});
    await this.reauthenticate({ credential: await this.credentials.get(options) });
  };

  /** Asks (`prove` shows a dialogue) only where the last proof is too old. */
  ensureFresh = async (prove: () => Promise<Proof>): Promise<void> => {
    if (!this.isFresh()) await this.reauthenticate(await prove());
  };

  /** Does the work; where the server wants to know first who one is, asks and does it once more. */
  whenFresh = async <Result>(work: () => Promise<Result>, prove: (methods: FactorMethod[]) => Promise<Proof>): Promise<Result> => {
    try {
      return await work();
    } catch (error) {
      const methods = reauthenticationRequired(error);
      if (!methods) throw error;
      await this.reauthenticate(await prove(methods));
      return work();
    }
  };

  // Factors

  factors = (): Promise<Factors> => this.auth.api('GET', '/api/auth/factors/');

  beginTotp = (): Promise<Http.Enrolment> =>
    this.auth.api('POST', '/api/auth/factors/totp/', {});

  confirmTotp = (code: string): Promise<Http.RecoveryCodes> =>
    this.auth.api('POST', '/api/auth/factors/totp/confirm/', { code });

  removeTotp = (): Promise<void> => this.auth.api('DELETE', '/api/auth/factors/totp/');

  makeRecoveryCodes = (): Promise<Http.RecoveryCodes> =>
    this.auth.api('POST', '/api/auth/factors/recovery-codes/', {});

  addPasskey = async (name?: string): Promise<Passkey> => {
    const options = await this.auth.api<WebAuthnJson>('POST', '/api/auth/factors/passkeys/options/', {});
    const credential = await this.credentials.create(options);
    return this.auth.api('POST', '/api/auth/factors/passkeys/', { credential, ...(name && { name }) });
  };

  renamePasskey = (id: Uuid, name: string): Promise<Passkey> =>
    this.auth.api('PATCH', `/api/auth/factors/passkeys/${id}/`, { name });

  removePasskey = (id: Uuid): Promise<void> => this.auth.api('DELETE', `/api/auth/factors/passkeys/${id}/`);

  linkSocial = (provider: string, fields: Pick<SocialSignIn, 'id_token' | 'nonce' | 'authorization_code'>): Promise<void> =>
    this.auth.api('POST', `/api/auth/factors/social/${provider}/`, fields);

  unlinkSocial = (provider: string): Promise<void> => this.auth.api('DELETE', `/api/auth/factors/social/${provider}/`);

  // Telephone

  changePhone = (phoneNumber: string): Promise<Http.PhoneChallenge> =>
    this.auth.api('POST', '/api/users/me/phone/', { phone_number: phoneNumber });

  confirmPhone = async (challenge: string, code: string): Promise<User> => {
    const user = await this.auth.api<User>('POST', '/api/users/me/phone/confirm/', { challenge, code });
    this.auth.setUser(user);
    return user;
  };

  // Push

  /** What a browser's `pushManager.subscribe` wants as `applicationServerKey`. */
  pushKey = (): Promise<{ vapid_public_key: string }> => this.auth.api('GET', '/api/users/push/key/');

  /** This session's device is woken from now on; the registration ends with the session. */
  registerPush = (registration: PushRegistration): Promise<void> =>
    this.auth.api('PUT', this.pushPath(), { show: 'full', ...registration });

  unregisterPush = (): Promise<void> => this.auth.api('DELETE', this.pushPath());

  private pushPath(): string {
    return `/api/users/sessions/${this.auth.getSnapshot().sessionId}/push/`;
  }

  private device<Fields extends DeviceFields>(fields: Fields): Fields {
    const { deviceFingerprint } = this.auth;
    return { ...(deviceFingerprint && { device_fingerprint: deviceFingerprint }), ...fields };
  }

  private async signIn(path: string, body: object): Promise<LoginResponse> {
    const answer = await this.auth.open<LoginResponse>('POST', path, body);
    await this.auth.acceptLogin(answer);
    return answer;
  }
}

// WebAuthn in a browser. Its own JSON functions are younger than passkeys are, so they are written out.

const browserCredentials: CredentialSource = {
  async get(options) {
    const publicKey = withBytes(options, ['challenge'], 'allowCredentials');
    return toJson(await navigator.credentials.get({ publicKey } as never));
  },
  async create(options) {
    const publicKey = withBytes(options, ['challenge'], 'excludeCredentials');
    const user = publicKey.user as WebAuthnJson;
    publicKey.user = withBytes(user, ['id']);
    return toJson(await navigator.credentials.create({ publicKey } as never));
  },
};

function withBytes(json: WebAuthnJson, names: string[], list?: string): WebAuthnJson {
  const made = { ...json };
  for (const name of names) made[name] = bytesOf(json[name] as string);
  if (list && json[list]) made[list] = (json[list] as WebAuthnJson[]).map((each) => withBytes(each, ['id']));
  return made;
}

function toJson(credential: unknown): WebAuthnJson {
  const { id, rawId, type, authenticatorAttachment, response, getClientExtensionResults } = credential as {
    id: string;
    rawId: ArrayBuffer;
    type: string;
    authenticatorAttachment?: string;
    response: Record<string, unknown> & { getTransports?: () => string[] };
    getClientExtensionResults?: () => object;
  };
  const answer: WebAuthnJson = {};
  for (const name of ['clientDataJSON', 'attestationObject', 'authenticatorData', 'signature', 'userHandle']) {
    const bytes = response[name];
    if (bytes instanceof ArrayBuffer) answer[name] = textOf(bytes);
  }
  if (response.getTransports) answer.transports = response.getTransports();
  return {
    id,
    rawId: textOf(rawId),
    type,
    ...(authenticatorAttachment && { authenticatorAttachment }),
    response: answer,
    clientExtensionResults: getClientExtensionResults?.call(credential) ?? {},
  };
}

/** base64url without padding, both ways. */
function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (letter) => letter.charCodeAt(0));
}

function textOf(bytes: ArrayBuffer): string {
  const binary = Array.from(new Uint8Array(bytes), (byte) => String.fromCharCode(byte)).join('');
  return btoa(binary).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}
