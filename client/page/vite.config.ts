import { fileURLToPath } from 'node:url';

import { defineConfig } from 'vite';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/**
 * Under fixed names, served by Django as /static/app/: `app.js` and `shared.js` for everybody, `SignIn.js` or `Messenger.js`, the rest when it is wanted. Preact stands in for React;
 * the package is taken as it is published, from `dist` (`npm run build` comes first).
 */
export default defineConfig({
  root: here('.'),
  base: '/static/app/',
  publicDir: here('./public'),
  resolve: {
    alias: [
      { find: 'react/jsx-runtime', replacement: 'preact/jsx-runtime' },
      { find: 'react-dom/client', replacement: 'preact/compat/client' },
      { find: /^react(-dom)?$/, replacement: 'preact/compat' },
    ],
  },
  build: {
    outDir: process.env.PAGE_OUT ?? here('../../config/static/app'),
    emptyOutDir: true,
    modulePreload: false,
    target: 'es2022',
    rollupOptions: {
      // The package says `'use client'` for Next.js; here everything is.
      onwarn: (warning, warn) => warning.code !== 'MODULE_LEVEL_DIRECTIVE' && warn(warning),
      input: here('./main.tsx'),
      output: {
        entryFileNames: 'app.js',
        chunkFileNames: '[name].js',
        assetFileNames: 'app[extname]',
        // Few files: what everybody needs, what a conversation needs, what forms need; each would else be split by who wants which half of it.
        codeSplitting: {
          groups: [
            { name: 'messages', test: /page\/(Attachment|Words|tally|chat|uploads|push|ui\/(Popover|wait))|core\/media/, includeDependenciesRecursively: false },
            { name: 'forms', test: /page\/(ui\/(form|accounts)|social)|dist\/esm\/(core\/)?accounts/, includeDependenciesRecursively: false },
            { name: 'shared', test: /node_modules\/preact|preload-helper|rolldown|page\/(i18n|later|stored|words\/en|ui\/(icons|Avatar)|theme|settings\/Preferences)|dist\/esm\/(?!(core\/)?(accounts|media|stores|tabs|offline))/, includeDependenciesRecursively: false },
          ],
        },
      },
    },
  },
});
