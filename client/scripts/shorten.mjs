/**
 * What no minifier of an app may do, done once here: private members get short names, members of enums and the timings of
 * `constants.ts` become their values, so that what nobody looks up is left out, and a field that begins as `undefined` is
 * not written down. What TypeScript calls `private` is reached by `this.` alone, so the change stays in its class.
 */
import { readFileSync } from 'node:fs';

import { parseAst } from 'vite';

/** `{Connection: {dial: 'a', …}}`; what is used most gets the shortest, and the same in each class that has it. */
export function privatesOf(sources) {
  const classes = {};
  const uses = {};
  for (const source of sources) {
    const text = readFileSync(source, 'utf8');
    for (const [, name, body] of text.matchAll(/^export class (\w+)[^\n]*\{\n([\s\S]*?)^\}/gm)) {
      classes[name] = {};
      for (const [, each] of body.matchAll(/\bprivate (?:readonly |async |get |set )*(\w+)/g)) {
        if (Object.hasOwn(classes[name], each)) continue;
        classes[name][each] = null;
        uses[each] = (uses[each] ?? 0) + body.split(new RegExp(`\\b${each}\\b`)).length;
      }
    }
  }
  for (const each of Object.keys(uses).sort((a, b) => uses[b] - uses[a])) {
    const having = Object.values(classes).filter((names) => Object.hasOwn(names, each));
    let index = 0;
    while (having.some((names) => Object.values(names).includes(shortName(index)))) index++;
    for (const names of having) names[each] = shortName(index);
  }
  return classes;
}

function shortName(index) {
  const letters = 'etnriaoscldupfmhgvybxwkjzqSCTEDOAMNPFILRBVHUWGKJYXZQ';
  return index < 52 ? letters[index] : `_${letters[index - 52]}`;
}

/** `{CloseCode: {Normal: 1000, …}}`, of an `enum` or of an object of numbers `as const`. */
export function enumsOf(source) {
  const enums = {};
  for (const [, name, body] of readFileSync(source, 'utf8').matchAll(/^export (?:enum|const) (\w+) (?:= )?\{\n([\s\S]*?)^\}/gm)) {
    enums[name] = Object.fromEntries([...body.matchAll(/^ {2}(\w+)(?: =|:) ([^,]+),$/gm)].map(([, key, value]) => [key, value]));
  }
  return enums;
}

/** `{MINUTE_MS: 60000, …}` of a file that has nothing but numbers. */
export function constantsOf(source) {
  const constants = {};
  for (const [, name, value] of readFileSync(source, 'utf8').matchAll(/^export const (\w+) = ([\w. *]+);$/gm)) {
    const factors = value.split('*').map((each) => constants[each.trim()] ?? Number(each.replaceAll('_', '')));
    constants[name] = factors.reduce((product, each) => product * each);
  }
  return constants;
}

export function shorten(code, classes, enums, constants) {
  const edits = [];
  // ESM names them in an import, CommonJS by `constants_js_1.NAME`, which `owner` finds below.
  const known = new Set([...code.matchAll(/^import \{([^}]*)\} from '[^']*\/constants\.js';$/gm)].flatMap(([, names]) => names.match(/\w+/g)).filter((name) => Object.hasOwn(constants, name)));
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
    if (node.type === 'Identifier' && known.has(node.name)) return edits.push([node.start, node.end, String(constants[node.name])]);
    if (member && owner === 'constants_js_1') return edits.push([member.start, member.end, String(constants[member.property.name])]);
    if (node.type === 'ImportDeclaration') return;
    if (node.type === 'PropertyDefinition' && !node.value && !node.static) return edits.push([node.start, node.end, '']);
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
