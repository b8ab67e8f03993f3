/**
 * Type-checks what a consumer writes: without the DOM's types, with those of `ws`, and every TypeScript block of the
 * README. The package is taken as it is published.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = new URL('..', import.meta.url).pathname;
const work = join(root, 'node_modules/.cache/consumer');
rmSync(work, { recursive: true, force: true });
mkdirSync(join(work, 'node_modules'), { recursive: true });
symlinkSync(root, join(work, 'node_modules/alviar-client'));

const project = (name, files, compilerOptions) => {
  const folder = join(work, name);
  mkdirSync(folder);
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  const config = {
    compilerOptions: { strict: true, noEmit: true, target: 'ES2022', module: 'NodeNext', moduleResolution: 'NodeNext', ...compilerOptions },
    include: ['.'],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', folder], { stdio: 'inherit' });
  console.log(`types: ${name}`);
};

project(
  'no-dom',
  {
    'app.ts': `
import { AuthClient, ChatClient, memoryStorage, type SocketLike } from 'alviar-client';
import { Accounts } from 'alviar-client/accounts';
import { searchMessages } from 'alviar-client/media';
import { mmkvStore } from 'alviar-client/stores';
import { tabSocket } from 'alviar-client/tabs';
declare const WebSocket: new (url: string, protocols?: string | string[]) => SocketLike;
const auth = new AuthClient({ baseUrl: '', storage: memoryStorage() });
export const chat = new ChatClient({ auth, WebSocket, store: mmkvStore({ getString: () => undefined, set() {}, delete() {} }) });
export const shared = new AuthClient({ baseUrl: '', WebSocket: tabSocket() });
export const all = [new Accounts(auth), searchMessages(auth, { q: 'x' })];
export const status: Promise<number> = auth.fetch('/x').then((response) => response.status);
`,
  },
  { lib: ['ES2022'], types: [], skipLibCheck: false },
);

project(
  'node-ws',
  {
    'app.ts': `
import WebSocket from 'ws';
import { AuthClient, ChatClient } from 'alviar-client';
const auth = new AuthClient({ baseUrl: 'https://chat.example.org' });
export const chat = new ChatClient({ auth, WebSocket });
`,
  },
  { lib: ['ES2022'], types: ['node'], typeRoots: [join(root, 'node_modules/@types')], skipLibCheck: true },
);

const documents = [
  'README.md',
  '../docs/attachments.md',
  '../docs/how-to/expo.md',
  '../docs/how-to/react-native.md',
  '../docs/tutorial/first-app.md',
  '../docs/tutorial/premiere-application.md',
];
const blocks = documents.flatMap((document) => [
  ...readFileSync(join(root, document), 'utf8').matchAll(/^```(tsx?)\n([\s\S]*?)^```/gm),
]);
project(
  'readme',
  Object.fromEntries(blocks.map(([, kind, code], index) => [`block${index}.${kind}`, `export {};\n${code}`])),
  {
    lib: ['ES2022', 'DOM'],
    module: 'ESNext',
    moduleResolution: 'bundler',
    jsx: 'react-jsx',
    skipLibCheck: true,
    paths: {
      'react-native': [join(root, 'examples/stubs/react-native.tsx')],
      'expo-router': [join(root, 'examples/stubs/expo-router.tsx')],
      'expo-secure-store': [join(root, 'examples/stubs/expo-secure-store.ts')],
      'tus-js-client': [join(root, 'node_modules/tus-js-client')],
    },
  },
);
console.log(`types: ${blocks.length} blocks of the README and the guides`);
