import { BACKOFF_BASE_MS, BACKOFF_CAP_MS } from './constants.js';

/**
 * Milliseconds to wait before reconnect number `attempt` (from 0): random in 0 … min(20 s, 0.5 s · 2ⁿ).
 * Full jitter, so that a thousand phones that lost one server do not come back in one instant.
 */
export function backoffDelay(attempt: number, random: () => number = Math.random): number {
  return Math.floor(random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** Math.max(0, attempt)));
}
