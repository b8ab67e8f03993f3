/** Second attempts (`retry` in vitest.config.ts). */
import { afterEach, beforeEach } from 'vitest';

import type { Server } from './server';

/**
 * A test that runs once more finds a server that nobody has used: the messages and names of its first attempt are gone.
 *
 * `FAIL_FIRST=1 CI=1` lets every first attempt fail in its last moment, which proves that the second ones can pass.
 */
export function beginAgainClean(server: Server | null): void {
  beforeEach(async ({ task }) => {
    if (task.result?.retryCount) await server?.renew();
  });
  if (!process.env.FAIL_FIRST) return;
  afterEach(({ task }) => {
    if (task.retry && !task.result?.retryCount) throw new Error('the first attempt fails by FAIL_FIRST');
  });
}
