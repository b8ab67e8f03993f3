/**
 * What no minifier of an app may do, done once here: private members get short names, and members of enums become their
 * values, so that an enum that nobody looks up is left out. What TypeScript calls `private` is reached by `this.` alone,
 * so the change stays in its class.
 */
import { readFileSync } from 'node:fs';

import { parseAst } from 'vite';

/** `{Connection: {dial: 'a', …}}` of one TypeScript file; what is used most gets the shortest. */
export function privatesOf(source) {
  const classes = {};
  const text = readFileSync(source, 'utf8');
  for (const [, name, body] of text.matchAll(/^export class (\w+)[^\n]*\{\n([\s\S]*?)^\}/gm)) {
    const names = [...body.matchAll(/\bprivate (?:readonly |async |get |set )*(\w+)/g)].map(([, each]) => each);
    const uses = (each) => body.split(new RegExp(`\\b${each}\\b`)).length;
    const sorted = [...new Set(names)].sort((a, b) => uses(b) - uses(a));
    classes[name] = Object.fromEntries(sorted.map((each, index) => [each, shortName(index)]));
  }
  return classes;
}

/** a … z, A … Z, then aa … */
function shortName(index) {
  const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
  return index < 52 ? letters[index] : `_${letters[index - 52]}`;
}

/** `{CloseCode: {Normal: 1000, …}}` */
export function enumsOf(source) {
  const enums = {};
  for (const [, name, body] of readFileSync(source, 'utf8').matchAll(/^export enum (\w+) \{\n([\s\S]*?)^\}/gm)) {
    enums[name] = Object.fromEntries([...body.matchAll(/^ {2}(\w+) = ([^,]+),$/gm)].map(([, key, value]) => [key, value]));
  }
  return enums;
}

export function shorten(code, classes, enums) {
  const edits = [];
  const walk = (node, names) => {
    if (Array.isArray(node)) return node.forEach((each) => walk(each, names));
    if (!node || typeof node.type !== 'string') return;
    if (node.type === 'ClassDeclaration' || node.type === 'ClassExpression') names = classes[node.id?.name];
    const member = node.type === 'MemberExpression' && !node.computed ? node : null;
    // ESM: `CloseCode.Normal`; CommonJS: `closeCodes_js_1.CloseCode.Normal`.
    const owner = member && (member.object.type === 'MemberExpression' ? member.object.property.name : member.object.name);
    if (member && Object.hasOwn(enums, owner ?? '') && enums[owner][member.property.name] !== undefined) {
      return edits.push([member.start, member.end, enums[owner][member.property.name]]);
    }
    const key =
      member?.object.type === 'ThisExpression'
        ? node.property
        : (node.type === 'PropertyDefinition' || node.type === 'MethodDefinition') && !node.computed
          ? node.key
          : null;
    if (names && key && Object.hasOwn(names, key.name ?? '')) edits.push([key.start, key.end, names[key.name]]);
    // `const { dial } = this`
    if (names && node.type === 'VariableDeclarator' && node.init?.type === 'ThisExpression') {
      for (const { key: name, shorthand } of node.id.properties ?? []) {
        const short = Object.hasOwn(names, name.name) && names[name.name];
        if (short) edits.push([name.start, name.end, shorthand ? `${short}: ${name.name}` : short]);
      }
      return;
    }
    for (const child of Object.values(node)) if (child && typeof child === 'object') walk(child, names);
  };
  walk(parseAst(code), undefined);
  for (const [start, end, text] of edits.sort((a, b) => b[0] - a[0])) code = code.slice(0, start) + text + code.slice(end);
  // An enum is made by a call, which a bundler keeps unless it is told that the call does nothing else.
  return code.replace(
    /^export var (\w+);\n\(function \(\1\) \{\n([\s\S]*?)\n\}\)\(\1 \|\| \(\1 = \{\}\)\);/gm,
    'export var $1 = /* @__PURE__ */ (function ($1) {\n$2\n    return $1;\n})({});',
  );
}
