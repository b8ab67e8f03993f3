/** Builds dist/esm and dist/cjs by tsc and prints their sizes. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { constantsOf, enumsOf, privatesOf, shorten } from './shorten.mjs';

const root = new URL('..', import.meta.url).pathname;
const tsc = join(root, 'node_modules/.bin/tsc');

rmSync(join(root, 'dist'), { recursive: true, force: true });
for (const [format, type] of [['esm', 'module'], ['cjs', 'commonjs']]) {
  execFileSync(tsc, ['-p', join(root, `tsconfig.${format}.json`)], { stdio: 'inherit' });
  mkdirSync(join(root, 'dist', format), { recursive: true });
  writeFileSync(join(root, 'dist', format, 'package.json'), `${JSON.stringify({ type })}\n`);
}

const files = (folder, kind = /\.js$/) =>
  readdirSync(folder, { recursive: true })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile() && kind.test(path));

const sourceFiles = files(join(root, 'src'), /\.tsx?$/);
const enums = Object.assign({}, ...sourceFiles.map(enumsOf));
const constants = constantsOf(join(root, 'src/core/constants.ts'));
const classes = privatesOf(sourceFiles);
for (const source of sourceFiles) {
  for (const format of ['esm', 'cjs']) {
    const built = source.replace(join(root, 'src'), join(root, 'dist', format)).replace(/\.tsx?$/, '.js');
    writeFileSync(built, shorten(readFileSync(built, 'utf8'), classes, enums, constants));
  }
}

for (const format of ['esm', 'cjs']) {
  const sources = files(join(root, 'dist', format)).map((path) => readFileSync(path));
  const bytes = sources.reduce((sum, source) => sum + source.length, 0);
  const gzipped = gzipSync(Buffer.concat(sources)).length;
  console.log(`dist/${format}: ${sources.length} files, ${bytes} bytes, ${gzipped} gzipped`);
}
