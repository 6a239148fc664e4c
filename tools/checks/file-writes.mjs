import ts from 'typescript';

/** Calls of `node:fs` that leave something which a power cut may take back, or leave with zeros in it. */
const WRITES = ['appendFile', 'copyFile', 'cp', 'link', 'rename', 'symlink', 'truncate', 'writeFile'];
const WRITERS = new Set([
  ...WRITES,
  ...WRITES.map((name) => `${name}Sync`),
  'createWriteStream',
  'writeSync',
]);
const OPENERS = new Set(['open', 'openSync']);
const READ_FLAGS =
  /^('r'|(constants\.)?O_(RDONLY|PATH|NOFOLLOW|NONBLOCK)( \| (constants\.)?O_(NOFOLLOW|NONBLOCK))*)$/;

const MODULES = new Map([
  ...['fs', 'fs/promises'].flatMap((name) =>
    [name, `node:${name}`].map((module) => [module, new Set([...WRITERS, ...OPENERS])]),
  ),
  // A copy is durable when it is asked to be, and by `putDurable`.
  ['@microvm/native', new Set(['copyFile'])],
]);

/**
 * Where a TypeScript or JavaScript file writes files by calls that are not durable by themselves.
 *
 * @returns {{ line: number, call: string }[]} the line, counted from 1, and the text of the call in one line
 */
export function fileWrites(path, text) {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const imported = importsOf(file);
  const found = [];
  const visit = (node) => {
    if (ts.isImportDeclaration(node)) return;
    const name = writeIn(node, imported);
    if (name !== undefined && !isRead(node, name)) {
      const at = ts.isCallExpression(node.parent) ? node.parent : node;
      const { line } = file.getLineAndCharacterOfPosition(at.getStart(file));
      found.push({ line: line + 1, call: inOneLine(at.getText(file)) });
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

function inOneLine(text) {
  return text.replace(/\s+/g, ' ').replace(/\( /g, '(').replace(/,? \)/g, ')');
}

/** What the file calls the writes of modules, and the modules themselves. */
function importsOf(file) {
  const names = new Map();
  const modules = new Map();
  for (const statement of file.statements) {
    if (!ts.isImportDeclaration(statement) || statement.importClause === undefined) continue;
    const writes = MODULES.get(statement.moduleSpecifier.text);
    const { name, namedBindings } = statement.importClause;
    if (writes === undefined) continue;
    if (name !== undefined) modules.set(name.text, writes);
    if (namedBindings === undefined) continue;
    if (ts.isNamespaceImport(namedBindings)) modules.set(namedBindings.name.text, writes);
    else
      for (const one of namedBindings.elements) {
        const origin = (one.propertyName ?? one.name).text;
        if (writes.has(origin)) names.set(one.name.text, origin);
        // `import { promises } from 'node:fs'`
        if (origin === 'promises') modules.set(one.name.text, writes);
      }
  }
  return { names, modules };
}

/** The name of the write that a node is, whether it is called or handed on. */
function writeIn(node, { names, modules }) {
  if (ts.isPropertyAccessExpression(node)) {
    const writes = modules.get(node.expression.getText());
    return writes?.has(node.name.text) === true ? node.name.text : undefined;
  }
  if (!ts.isIdentifier(node) || !names.has(node.text)) return undefined;
  const { parent } = node;
  // A field or a method of that name is another one, and a type writes nothing.
  const isOther =
    (ts.isPropertyAccessExpression(parent) && parent.name === node) ||
    (ts.isPropertyAssignment(parent) && parent.name === node) ||
    ((ts.isMethodDeclaration(parent) || ts.isPropertySignature(parent)) && parent.name === node) ||
    ts.isTypeQueryNode(parent);
  return isOther ? undefined : names.get(node.text);
}

function isRead(node, name) {
  const { parent } = node;
  if (!OPENERS.has(name) || !ts.isCallExpression(parent) || parent.expression !== node) return false;
  const flags = parent.arguments[1]?.getText().replace(/\s+/g, ' ');
  return flags === undefined || READ_FLAGS.test(flags);
}
