import fc from 'fast-check';
import { expect, it } from 'vitest';

import { backoffDelay } from '@/core/backoff';

it('waits between 0 and min(20 s, 0.5 s · 2ⁿ), for any attempt and any luck', () => {
  fc.assert(
    fc.property(fc.nat(2_000), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (attempt, luck) => {
      const delay = backoffDelay(attempt, () => luck);
      expect(delay).toBeGreaterThanOrEqual(0);
      expect(delay).toBeLessThanOrEqual(Math.min(20_000, 500 * 2 ** attempt));
      expect(Number.isInteger(delay)).toBe(true);
    }),
  );
});

it('uses the whole range, not a corner of it', () => {
  const delays = Array.from({ length: 1_000 }, (_, i) => backoffDelay(10, () => i / 1_000));
  expect(Math.min(...delays)).toBe(0);
  expect(Math.max(...delays)).toBeGreaterThan(19_000);
});

it('doubles its ceiling until the cap', () => {
  const ceilings = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => backoffDelay(n, () => 1));
  expect(ceilings).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000]);
});
