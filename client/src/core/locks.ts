import { TAB_LOCK_TIMEOUT_MS } from './constants.js';
import type { Signal } from './platform.js';

/** The part of `navigator.locks` that is used: locks that tabs of one origin share, and that end with their tab. */
export interface Locks {
  request<Result>(name: string, options: LockOptions, work: () => Promise<Result>): Promise<Result>;
  query(): Promise<{ held?: Array<{ name?: string }> }>;
}

export interface LockOptions {
  signal?: Signal;
  steal?: boolean;
}

/** Calls it off after so long. */
export async function within<Result>(ms: number, work: (signal: Signal) => Promise<Result>): Promise<Result> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), ms);
  return work(controller.signal).finally(() => clearTimeout(timer));
}

/** One tab after the other. A tab that was stopped while it held its turn does not hold up the others for long. */
export function takeTurns<Result>(locks: Locks | undefined, name: string, work: () => Promise<Result>): Promise<Result> {
  let turn: Promise<Result> | undefined;
  const begin = () => (turn ??= work());
  return locks ? within(TAB_LOCK_TIMEOUT_MS, (signal) => locks.request(name, { signal }, begin)).catch(begin) : begin();
}
