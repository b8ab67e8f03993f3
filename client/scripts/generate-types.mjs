/**
 * Writes src/generated/{http,socket}.ts: the types of the server's OpenAPI and AsyncAPI documents.
 *
 *   npm run types -- [http://127.0.0.1:8000] [--out folder]
 *
 * `tests/unit/generated.test.ts` holds the package's own types to them.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const args = process.argv.slice(2);
const out = args.includes('--out') ? args[args.indexOf('--out') + 1] : new URL('../src/generated', import.meta.url).pathname;
const server = args.find((arg) => arg.startsWith('http')) ?? process.env.ALVIAR_URL ?? 'http://127.0.0.1:8000';

const identifier = (name) => name.replace(/[^A-Za-z0-9_$]+(.)?/g, (_, next) => (next ?? '').toUpperCase());
const typeName = (name) => identifier(name).replace(/^./, (first) => first.toUpperCase());
const key = (name) => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name));
const union = (types) => [...new Set(types)].join(' | ') || 'never';

function typeOf(schema, depth) {
  if (schema === undefined || schema === true) return 'unknown';
  if (schema === false) return 'never';
  if (schema.$ref) return typeName(schema.$ref.split('/').pop());
  if ('const' in schema) return JSON.stringify(schema.const);
  if (schema.enum) return union(schema.enum.map((value) => JSON.stringify(value)));
  const several = schema.oneOf ?? schema.anyOf;
  if (several) return union(several.map((each) => typeOf(each, depth)));
  if (schema.allOf) return schema.allOf.map((each) => typeOf(each, depth)).join(' & ');
  const types = [schema.type ?? (schema.properties ? 'object' : undefined)].flat();
  const made = union(types.map((type) => simpleType(type, schema, depth)));
  return schema.nullable ? union([made, 'null']) : made;
}

function simpleType(type, schema, depth) {
  if (type === 'integer' || type === 'number') return 'number';
  if (type === 'string' || type === 'boolean' || type === 'null') return type;
  if (type === 'array') return `Array<${typeOf(schema.items, depth)}>`;
  if (type !== 'object') return 'unknown';
  if (!schema.properties) {
    const value = schema.additionalProperties;
    return `Record<string, ${value && typeof value === 'object' ? typeOf(value, depth) : 'unknown'}>`;
  }
  const required = new Set(schema.required ?? []);
  const indent = '  '.repeat(depth + 1);
  const lines = Object.entries(schema.properties).map(([name, property]) => {
    const note = property.description ? `${indent}/** ${property.description.replace(/\s+/g, ' ').replace(/\*\//g, '')} */\n` : '';
    return `${note}${indent}${key(name)}${required.has(name) ? '' : '?'}: ${typeOf(property, depth + 1)};`;
  });
  return lines.length > 0 ? `{\n${lines.join('\n')}\n${'  '.repeat(depth)}}` : 'Record<string, never>';
}

const declarations = (schemas) =>
  Object.entries(schemas)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, schema]) => `export type ${typeName(name)} = ${typeOf(schema, 0)};\n`);

async function read(path) {
  const response = await fetch(server + path, { headers: { Accept: 'application/json' } });
  if (!response.ok) throw new Error(`${server}${path}: ${response.status}`);
  return response.json();
}

const head = (document) =>
  `// Made by \`npm run types\` from the server's ${document} document. Change the server, not this file.\n`;

const openapi = await read('/api/schema/');
const asyncapi = await read('/api/asyncapi.json');

const messages = Object.entries(asyncapi.components.messages ?? {}).map(([name, { payload }]) => [name, payload]);
const frames = Object.fromEntries(messages.filter(([, payload]) => !payload.$ref));
const direction = (action) =>
  Object.values(asyncapi.operations ?? {})
    .filter((operation) => operation.action === action)
    .flatMap((operation) => operation.messages ?? [])
    .map(({ $ref }) => $ref.split('/').pop());

mkdirSync(out, { recursive: true });
writeFileSync(join(out, 'http.ts'), [head('OpenAPI'), ...declarations(openapi.components.schemas)].join('\n'));
writeFileSync(
  join(out, 'socket.ts'),
  [head('AsyncAPI'), ...declarations({ ...asyncapi.components.schemas, ...frames })].join('\n'),
);
console.log(
  `${out}: ${Object.keys(openapi.components.schemas).length} HTTP types, ${messages.length} frames` +
    ` (${direction('receive').length} received, ${direction('send').length} sent by the server)`,
);
