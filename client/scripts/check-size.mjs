/** What an app ships for each import, minified and gzipped, against its budget. */
import { gzipSync } from 'node:zlib';

import { build } from 'vite';

const root = new URL('..', import.meta.url).pathname;
const dist = (name) => JSON.stringify(`${root}dist/esm/${name}.js`);
const BUDGETS = [
  ['useWebSocketWithAuth', 6_000, `export { useWebSocketWithAuth } from ${dist('react')}`],
  ['AuthClient, Connection', 8_200, `export { AuthClient, Connection } from ${dist('index')}`],
  ['everything of the core and React', 17_000, `export * from ${dist('index')}; export * from ${dist('react')}; export * from ${dist('react-native')}`],
  ['alviar-client/accounts', 2_500, `export * from ${dist('accounts')}`],
  ['alviar-client/media', 2_500, `export * from ${dist('media')}`],
  ['alviar-client/stores', 2_300, `export * from ${dist('stores')}`],
  ['alviar-client/tabs', 2_500, `export * from ${dist('tabs')}`],
];

for (const [name, budget, code] of BUDGETS) {
  const entry = {
    name: 'entry',
    resolveId: (id) => (id === 'entry' ? '\0entry' : undefined),
    load: (id) => (id === '\0entry' ? code : undefined),
  };
  const built = await build({
    configFile: false,
    logLevel: 'silent',
    root,
    plugins: [entry],
    build: {
      write: false,
      minify: true,
      target: 'es2022',
      rollupOptions: { input: 'entry', preserveEntrySignatures: 'strict', external: [/^react/] },
    },
  });
  const bytes = gzipSync([built].flat()[0].output[0].code).length;
  console.log(`${name}: ${bytes} bytes of ${budget}`);
  if (bytes > budget) process.exitCode = 1;
}
