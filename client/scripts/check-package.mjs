/** Loads every entry of the built package as an app would, by `import` and by `require`, without React for the core. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readdirSync, readFileSync } from 'node:fs';

const require = createRequire(import.meta.url);
const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const expected = {
  '.': ['AuthClient', 'ChatClient', 'Connection', 'CloseCode', 'backoffDelay', 'memoryStorage'],
  './react': ['AuthProvider', 'useAuth', 'useWebSocketWithAuth', 'ChatProvider', 'useConversations', 'useMessages'],
  './accounts': ['Accounts', 'mfaRequired', 'reauthenticationRequired'],
  './media': ['uploadAttachment', 'uploadResumable', 'searchMessages'],
  './tabs': ['tabSocket'],
  './stores': ['indexedDbStore', 'mmkvStore', 'sqliteStore'],
  './react-native': ['AuthProvider', 'useAuth', 'useWebSocketWithAuth', 'secureStorage', 'nativeLifecycle'],
};

for (const [entry, names] of Object.entries(expected)) {
  const specifier = manifest.name + entry.slice(1);
  const esm = await import(specifier);
  const cjs = require(specifier);
  for (const name of names) {
    assert.ok(esm[name], `${specifier} lacks ${name} (import)`);
    assert.ok(cjs[name], `${specifier} lacks ${name} (require)`);
  }
  for (const condition of ['import', 'require']) {
    const { types } = manifest.exports[entry][condition];
    readFileSync(new URL(`../${types}`, import.meta.url));
  }
}
assert.equal(manifest.dependencies, undefined, 'the core has no dependencies');
const imports = readdirSync(new URL('../src/core', import.meta.url)).flatMap((file) => [
  ...readFileSync(new URL(`../src/core/${file}`, import.meta.url), 'utf8').matchAll(/from '([^']+)'/g),
]);
for (const [, source] of imports) assert.ok(source.startsWith('.'), `the core imports ${source}`);
console.log(`${manifest.name}: ${Object.keys(expected).length} entries load by import and by require`);
