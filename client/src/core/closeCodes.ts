/** Why the server closed the socket. 4000–4499: reconnect; 4500–4999: do not. */
export const CloseCode = {
  Normal: 1000,
  TokenNotValid: 4401,
  HeartbeatTimeout: 4408,
  ServerDrain: 4410,
  TemporarilyUnavailable: 4411,
  Internal: 4412,
  SlowConsumer: 4413,
  Throttled: 4429,
  MaxAge: 4440,
  SessionRevoked: 4503,
  AccountDisabled: 4504,
  Superseded: 4506,
  BadFrame: 4507,
} as const;
export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

export type CloseVerdict =
  /** Get another token, then connect; the second time in a row wait as for any fault. */
  | 'refresh'
  | 'backoff'
  | 'at_once'
  /** After the `reconnect_in_ms` of the `bye`. */
  | 'when_told'
  | 'sign_out'
  | 'stop';

const VERDICTS: Record<number, CloseVerdict | undefined> = {
  [CloseCode.TokenNotValid]: 'refresh',
  [CloseCode.ServerDrain]: 'when_told',
  [CloseCode.Throttled]: 'when_told',
  [CloseCode.SlowConsumer]: 'at_once',
  [CloseCode.MaxAge]: 'at_once',
  [CloseCode.SessionRevoked]: 'sign_out',
  [CloseCode.AccountDisabled]: 'sign_out',
};

export function verdictOn(code: number): CloseVerdict {
  return VERDICTS[code] ?? (code >= 4500 && code <= 4999 ? 'stop' : 'backoff');
}
