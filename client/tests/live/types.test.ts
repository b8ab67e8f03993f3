/** The types of the package against the documents of the server that runs, not only against the committed ones. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, describe, it } from 'vitest';

import { startServer } from '../support/server';

const CLIENT = join(import.meta.dirname, '../..');
const WORK = join(CLIENT, 'node_modules/.cache/types-check');
const server = await startServer();

afterAll(async () => {
  rmSync(WORK, { recursive: true, force: true });
  await server?.remove();
});

describe.skipIf(!server)('the types', () => {
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
