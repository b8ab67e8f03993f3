import type * as Http from '../generated/http.js';
import type { HttpResponse } from './platform.js';

export type ErrorAction = Http.Error['action'];
export type ErrorEnvelope = Http.Error;
export type FieldError = NonNullable<ErrorEnvelope['errors']>[string][number];

/** An answer that was not a success. `message` is the server's text in the user's language. */
export class ApiError extends Error {
  readonly code: string;
  readonly reason: string | undefined;
  readonly action: ErrorAction | undefined;
  /** Seconds. */
  readonly retryAfter: number | undefined;
  /** When a locked account opens again; ISO 8601. */
  readonly lockedUntil: string | undefined;
  readonly errors: Record<string, FieldError[]>;
  readonly requestId: string | undefined;

  constructor(
    readonly status: number,
    /** The whole answer, for what only one kind of error has (`mfa_token`, `methods`). */
    readonly body: Partial<ErrorEnvelope>,
  ) {
    super(body.detail ?? `HTTP ${status}`);
    this.name = 'ApiError';
    this.code = body.code ?? 'unknown';
    this.reason = body.reason;
    this.action = body.action;
    this.retryAfter = body.retry_after;
    this.lockedUntil = body.locked_until;
    this.errors = body.errors ?? {};
    this.requestId = body.request_id;
  }

  static async from(response: HttpResponse): Promise<ApiError> {
    // Of a proxy's HTML page the status has to do.
    const body: unknown = await response.json().catch(() => null);
    const envelope: Partial<ErrorEnvelope> = typeof body === 'object' ? { ...body } : {};
    const seconds = parseFloat(response.headers.get('Retry-After') ?? '');
    if (seconds >= 0) envelope.retry_after ??= seconds;
    return new ApiError(response.status, envelope);
  }
}

/** There was no answer: offline, DNS, TLS, or too slow. */
export class NetworkError extends Error {
  constructor(cause?: unknown) {
    super('No answer from the server', { cause });
    this.name = 'NetworkError';
  }
}

/** What a call that got no answer raises; that its session is gone stays what it is. */
export function unanswered(error: unknown): Error {
  return error instanceof NotSignedInError ? error : new NetworkError(error);
}

/** Why a socket is not open: the close code, or what was lacking. `no_websocket`: hand one in, such as that of `ws`. */
export class ConnectionError extends Error {
  constructor(
    readonly code: number | 'no_token' | 'no_websocket' | 'no_socket',
    cause?: unknown,
  ) {
    super(`Not open: ${code}`, { cause });
    this.name = 'ConnectionError';
  }
}

/** Nobody is signed in: what was written would have nobody to belong to. */
export class NotSignedInError extends Error {
  constructor() {
    super('Nobody is signed in');
    this.name = 'NotSignedInError';
  }
}
