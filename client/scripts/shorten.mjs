/**
 * Shortens the private members of classes in the built files: no minifier of an app may do that, and they are a tenth
 * of what an app ships. What TypeScript calls `private` is reached by `this.` alone, so the change stays in its class.
 */
import { readFileSync } from 'node:fs';

import { parseAst } from 'vite';

/** `{Connection: {dial: '_a', …}}` of one TypeScript file. */
export function privatesOf(source) {
  const classes = {};
  for (const [, name, body] of readFileSync(source, 'utf8').matchAll(/^export class (\w+)[^\n]*\{\n([\s\S]*?)^\}/gm)) {
    const names = [...body.matchAll(/\bprivate (?:readonly |async |get |set )*(\w+)/g)].map(([, each]) => each);
    classes[name] = Object.fromEntries([...new Set(names)].map((each, index) => [each, `_${index.toString(36)}`]));
  }
  return classes;
}

export function shorten(code, classes) {
  const edits = [];
  const walk = (node, names) => {
    if (Array.isArray(node)) return node.forEach((each) => walk(each, names));
    if (!node || typeof node.type !== 'string') return;
    if (node.type === 'ClassDeclaration' || node.type === 'ClassExpression') names = classes[node.id?.name];
    const key =
      node.type === 'MemberExpression' && !node.computed && node.object.type === 'ThisExpression'
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
  return code;
}
