/** Builds the page beside the committed one and fails where they differ, so that `make run` needs no Node. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const FIRST_LOAD_BYTES = 60_000;
const root = new URL('..', import.meta.url).pathname;
const committed = join(root, '../config/static/app');
const built = mkdtempSync(join(tmpdir(), 'page-'));
try {
  execFileSync(join(root, 'node_modules/.bin/vite'), ['build', '--config', 'page/vite.config.ts', '--logLevel', 'warn'], {
    cwd: root,
    env: { ...process.env, PAGE_OUT: built },
    stdio: 'inherit',
  });
  const read = (folder) =>
    Object.fromEntries(readdirSync(folder).sort().map((name) => [name, readFileSync(join(folder, name))]));
  const [ours, theirs] = [read(built), read(committed)];
  const names = new Set([...Object.keys(ours), ...Object.keys(theirs)]);
  const different = [...names].filter((name) => !ours[name] || !theirs[name] || !ours[name].equals(theirs[name]));
  for (const [name, bytes] of Object.entries(theirs)) {
    console.log(`config/static/app/${name}: ${bytes.length} bytes, ${gzipSync(bytes).length} gzipped`);
  }
  // What is loaded before the first picture, signed in or not, with all that it imports; the rest comes when it is wanted.
  for (const way of ['Messenger.js', 'SignIn.js']) {
    const loaded = new Set(['app.css']);
    const load = (name) => {
      if (loaded.has(name)) return;
      loaded.add(name);
      for (const [, next] of ours[name].toString().matchAll(/(?:from|import)"\.\/([^"]+)"/g)) load(next);
    };
    ['app.js', way].forEach(load);
    const first = [...loaded].reduce((sum, name) => sum + gzipSync(ours[name], { level: 9 }).length, 0);
    console.log(`first load with ${way}: ${first} bytes gzipped of ${FIRST_LOAD_BYTES}`);
    if (first > FIRST_LOAD_BYTES) {
      console.error('The page has grown past its budget: load what few need later (client/page/later.tsx).');
      process.exitCode = 1;
    }
  }
  if (different.length > 0) {
    console.error(`config/static/app is not what client/page builds: ${different.join(', ')}. Run: npm run build:page`);
    process.exitCode = 1;
  }
} finally {
  rmSync(built, { recursive: true, force: true });
}
