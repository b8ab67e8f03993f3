import type { HttpResponse } from './platform.js';

export type ErrorAction = 'refresh' | 'login' | 'retry' | 'wait' | 'verify_email' | 'mfa' | 'reauthenticate' | 'none';

export interface FieldError {
  message: string;
  code: string;
}

/** The server's one error envelope. */
export interface ErrorEnvelope {
  detail: string;
  code: string;
  reason?: string;
  action?: ErrorAction;
  retry_after?: number;
  locked_until?: string;
  errors?: Record<string, FieldError[]>;
  request_id?: string;
}

/** An answer that was not a success. `message` is the server's text in the user's language. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly reason: string | undefined;
  readonly action: ErrorAction | undefined;
  /** Seconds. */
  readonly retryAfter: number | undefined;
  /** When a locked account opens again; ISO 8601. */
  readonly lockedUntil: string | undefined;
  readonly errors: Record<string, FieldError[]>;
  readonly requestId: string | undefined;
  /** The whole answer, for what only one kind of error has (`mfa_token`, `methods`). */
  readonly body: Partial<ErrorEnvelope>;

  constructor(status: number, envelope: Partial<ErrorEnvelope>) {
    super(envelope.detail ?? `HTTP ${status}`);
    this.name = 'ApiError';
    this.status = status;
    this.code = envelope.code ?? 'unknown';
    this.reason = envelope.reason;
    this.action = envelope.action;
    this.retryAfter = envelope.retry_after;
    this.lockedUntil = envelope.locked_until;
    this.errors = envelope.errors ?? {};
    this.requestId = envelope.request_id;
    this.body = envelope;
  }

  static async from(response: HttpResponse): Promise<ApiError> {
    let envelope: Partial<ErrorEnvelope> = {};
    try {
      const body: unknown = await response.json();
      if (body && typeof body === 'object') envelope = body;
    } catch {
      // A proxy's HTML page: the status has to do.
    }
    const header = Number(response.headers.get('Retry-After') ?? NaN);
    if (envelope.retry_after === undefined && Number.isFinite(header)) envelope.retry_after = header;
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

/** Why a socket is not open: the close code, or what was lacking before there was a socket. */
export class ConnectionError extends Error {
  constructor(
    readonly code: number | 'no_token' | 'no_websocket' | 'no_socket',
    cause?: unknown,
  ) {
    super(
      code === 'no_websocket' ? 'No WebSocket here: hand in one, such as `ws`' : `Not open: ${code}`,
      { cause },
    );
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
