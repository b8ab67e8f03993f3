/** The types of the package against the documents of the server that runs, not only against the committed ones. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, describe, expect, it } from 'vitest';

import { beginAgainClean } from '../support/attempts';
import { startServer } from '../support/server';

const CLIENT = join(import.meta.dirname, '../..');
const WORK = join(CLIENT, 'node_modules/.cache/types-check');
const server = await startServer();
beginAgainClean(server);

afterAll(async () => {
  rmSync(WORK, { recursive: true, force: true });
  await server?.remove();
});

describe.skipIf(!server)('the types', () => {
  it('are made of the documents as they are', () => {
    const out = join(WORK, 'made');
    execFileSync('node', [join(CLIENT, 'scripts/generate-types.mjs'), server!.url, '--out', out]);
    for (const name of ['http.ts', 'socket.ts']) {
      const made = readFileSync(join(out, name), 'utf8');
      expect(readFileSync(join(CLIENT, 'src/generated', name), 'utf8'), `npm run types: ${name}`).toBe(made);
    }
  });

  it('fit the OpenAPI and AsyncAPI documents of the running server', () => {
    mkdirSync(WORK, { recursive: true });
    execFileSync('node', [join(CLIENT, 'scripts/generate-types.mjs'), server!.url, '--out', join(WORK, 'generated')]);
    cpSync(join(CLIENT, 'tests/unit/generated.test.ts'), join(WORK, 'check.ts'));
    const config = JSON.parse(readFileSync(join(CLIENT, 'tsconfig.json'), 'utf8')) as { compilerOptions: object };
    const paths = { '@/generated/*': [join(WORK, 'generated/*')], '@/*': [join(CLIENT, 'src/*')] };
    const options = { ...config.compilerOptions, paths, noUnusedLocals: false };
    writeFileSync(join(WORK, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['check.ts'] }));
    try {
      execFileSync(join(CLIENT, 'node_modules/.bin/tsc'), ['-p', WORK], { encoding: 'utf8' });
    } catch (error) {
      throw new Error(`npm run types, then mend src/core:\n${(error as { stdout: string }).stdout}`);
    }
  });
});
