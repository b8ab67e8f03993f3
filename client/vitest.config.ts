import { fileURLToPath } from 'node:url';

import { defineConfig } from 'vitest/config';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** The package by its name is its sources; of what an Expo app has, stubs stand in. */
const alias = {
  '@': here('./src'),
  'alviar-client/react-native': here('./src/react-native.ts'),
  'alviar-client/react': here('./src/react.ts'),
  'alviar-client/accounts': here('./src/accounts.ts'),
  'alviar-client/media': here('./src/media.ts'),
  'alviar-client/stores': here('./src/stores.ts'),
  'alviar-client/tabs': here('./src/tabs.ts'),
  'alviar-client': here('./src/index.ts'),
  'react-native': here('./examples/stubs/react-native.tsx'),
  'expo-router': here('./examples/stubs/expo-router.tsx'),
  'expo-secure-store': here('./examples/stubs/expo-secure-store.ts'),
};

/** What drives a real server is run once more where it fails, on a machine that may be busy with anything; it says so.
 * A test of what must hold each time says `{ retry: 0 }`. */
const retry = process.env.CI ? 1 : 0;

export default defineConfig({
  resolve: { alias },
  test: {
    coverage: {
      provider: 'v8',
      include: ['src/**/*.{ts,tsx}'],
      exclude: ['src/index.ts', 'src/react.ts', 'src/generated/**'],
      reporter: ['text'],
      thresholds: { lines: 85, branches: 75 },
    },
    projects: [
      {
        resolve: { alias },
        // Properties run hundreds of stories: seconds on a busy machine.
        test: { name: 'unit', environment: 'happy-dom', include: ['tests/unit/**/*.test.{ts,tsx}'], testTimeout: 60_000 },
      },
      {
        resolve: { alias },
        test: {
          name: 'live',
          environment: 'node',
          include: ['tests/live/**/*.test.{ts,tsx}'],
          testTimeout: 240_000,
          hookTimeout: 240_000,
          fileParallelism: false,
          retry,
        },
      },
      {
        resolve: { alias },
        test: {
          name: 'browser',
          environment: 'node',
          include: ['tests/browser/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 240_000,
          fileParallelism: false,
          retry,
        },
      },
    ],
  },
});
