/**
 * The first hour: apps made by the tools of Vite, Next.js and Expo, with the package as `npm pack` makes it. Needs the
 * registry and some minutes, so it is not part of `make client-test`:
 *
 *   npm run build && npm run test:apps -- [vite] [next] [expo]
 *
 * Expo's root layout and screens are the blocks of the README; it is exported for the web and for Android, there to
 * Hermes' bytecode. Its tools want Node 22.13 or newer.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = new URL('..', import.meta.url).pathname;
const work = mkdtempSync(join(tmpdir(), 'alviar-apps-'));
const environment = { ...process.env, CI: '1', NEXT_TELEMETRY_DISABLED: '1', EXPO_NO_TELEMETRY: '1' };

const run = (folder, command, ...args) => execFileSync(command, args, { cwd: folder, env: environment, stdio: 'inherit' });
const json = (path, change) => writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8'))), null, 2));
const filesOf = (folder, kind) =>
  readdirSync(folder, { recursive: true }).filter((name) => kind.test(name)).map((name) => join(folder, name));

const [{ filename }] = JSON.parse(execFileSync('npm', ['pack', '--json', '--pack-destination', work], { cwd: root, encoding: 'utf8' }));
const tarball = join(work, filename);

/** The sample of this name, with the package and these others. */
function project(name, ...packages) {
  const folder = join(work, name);
  cpSync(join(root, 'tests/apps', name), folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "private": true }');
  run(folder, 'npm', 'install', '--no-audit', '--no-fund', '--loglevel=error', tarball, ...packages);
  return folder;
}

const APPS = {
  vite() {
    const folder = project('vite', 'vite@8', '@vitejs/plugin-react@6', 'react@19', 'react-dom@19');
    writeFileSync(join(folder, 'vite.config.js'), "import react from '@vitejs/plugin-react';\nexport default { plugins: [react()] };\n");
    run(folder, 'npx', 'vite', 'build');
    const [script] = filesOf(join(folder, 'dist'), /\.js$/);
    const code = readFileSync(script, 'utf8');
    assert.match(code, /Device-Fingerprint/);
    assert.doesNotMatch(code, /(^|\W)require\(/);
  },

  next() {
    const folder = project('next', 'next@16', 'react@19', 'react-dom@19', 'typescript@5', '@types/react@19', '@types/node@20');
    run(folder, 'npx', 'next', 'build');
    // Rendered before anybody's tokens can be read.
    assert.match(readFileSync(join(folder, '.next/server/app/index.html'), 'utf8'), /<p>Loading<\/p>/);
  },

  expo() {
    const [major, minor] = process.versions.node.split('.').map(Number);
    assert.ok(major > 22 || (major === 22 && minor >= 13), `Expo wants Node 22.13 or newer, this is ${process.version}`);
    const folder = join(work, 'expo-app');
    run(work, 'npx', '--yes', 'create-expo-app@latest', 'expo-app', '--template', 'blank-typescript', '--no-install');
    rmSync(join(folder, 'App.tsx'));
    rmSync(join(folder, 'index.ts'));
    cpSync(join(root, 'tests/apps/expo'), folder, { recursive: true });
    const [layout, screens] = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/^```tsx\n([\s\S]*?)^```/gm)];
    mkdirSync(join(folder, 'app'), { recursive: true });
    writeFileSync(join(folder, 'app/_layout.tsx'), layout[1]);
    writeFileSync(join(folder, 'chat.tsx'), screens[1]);
    // The template may name a preview that was never published: what is published takes its place.
    const published = (name, field = 'version') => JSON.parse(execFileSync('npm', ['view', '--json', name, field], { encoding: 'utf8' }));
    const react = published('react-native', 'peerDependencies').react;
    const others = ['expo-secure-store', 'expo-linking', 'expo-constants', 'react-native-safe-area-context', 'react-native-screens', 'react-native-web'];
    json(join(folder, 'package.json'), ({ dependencies, ...manifest }) => ({
      ...manifest,
      main: 'expo-router/entry',
      dependencies: {
        ...dependencies,
        ...Object.fromEntries(['expo', 'expo-router', 'react-native'].map((name) => [name, published(name)])),
        ...Object.fromEntries(others.map((name) => [name, '*'])),
        react,
        'react-dom': react,
        'alviar-client': `file:${tarball}`,
      },
    }));
    json(join(folder, 'app.json'), ({ expo }) => ({
      expo: { ...expo, scheme: 'alviar', web: { bundler: 'metro', output: 'single' }, plugins: ['expo-router'] },
    }));
    run(folder, 'npm', 'install', '--no-audit', '--no-fund', '--loglevel=error');
    run(folder, 'npx', 'expo', 'export', '-p', 'web', '-p', 'android');
    const [bytecode] = filesOf(join(folder, 'dist'), /\.hbc$/);
    // The magic number of Hermes' bytecode.
    assert.equal(readFileSync(bytecode).readBigUInt64LE(), 0x1f1903c103bc1fc6n);
    assert.ok(filesOf(join(folder, 'dist'), /\.js$/).some((path) => /Device-Fingerprint/.test(readFileSync(path, 'utf8'))));
  },
};

const wanted = process.argv.slice(2);
try {
  for (const name of wanted.length > 0 ? wanted : Object.keys(APPS)) {
    APPS[name]();
    console.log(`${name}: built with ${filename}`);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
