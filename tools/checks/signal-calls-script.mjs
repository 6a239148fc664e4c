import ts from 'typescript';
import { shellGroupKills } from './signal-calls-shell.mjs';

/** Programs that end others; started as a child process they have no guard of any kind. */
const KILLERS = new Set(['kill', 'pkill', 'killall', 'killall5', 'skill']);
const STARTS_PROGRAM = /^(spawn|exec|run|capture)/i;

/** The calls in JavaScript or TypeScript, and the shell commands in its texts. */
export function scriptSignalCalls(path, text) {
  const { file, checker } = parse(path, text);
  const found = [];
  const visit = (node) => {
    const call = callOf(node, checker);
    if (call !== undefined) {
      const at = node.getStart(file);
      found.push({ line: file.getLineAndCharacterOfPosition(at).line + 1, call: call.replace(/\s+/g, ' ') });
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** One file alone, without any library: what it does not declare itself is a global. */
function parse(path, text) {
  const name = `/${path.replace(/\.mjs$/, '.mts')}`;
  const file = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true);
  const program = ts.createProgram({
    rootNames: [name],
    options: { noLib: true, noResolve: true, types: [], allowJs: true, target: ts.ScriptTarget.Latest },
    host: {
      getSourceFile: (asked) => (asked === name ? file : undefined),
      getDefaultLibFileName: () => '',
      writeFile: () => {},
      getCurrentDirectory: () => '/',
      getCanonicalFileName: (asked) => asked,
      useCaseSensitiveFileNames: () => true,
      getNewLine: () => '\n',
      fileExists: (asked) => asked === name,
      readFile: () => undefined,
    },
  });
  return { file, checker: program.getTypeChecker() };
}

/** The text of what may signal others, when this node is such a thing. */
function callOf(node, checker) {
  if (ts.isStringLiteralLike(node) || ts.isTemplateExpression(node))
    return shellGroupKills(node.getText().slice(1, -1))[0];
  if (ts.isCallExpression(node) && startsKiller(node)) return node.getText();
  if (takesKillOut(node, checker)) return node.getText();
  if (!ts.isPropertyAccessExpression(node) || node.name.text !== 'kill') return undefined;
  if (!isGlobalProcess(node.expression, checker)) return undefined;
  const { parent } = node;
  if (!ts.isCallExpression(parent) || parent.expression !== node) return node.getText();
  return isHarmless(parent) ? undefined : parent.getText();
}

function isHarmless(call) {
  const [pid, signal] = call.arguments.map((argument) => argument.getText());
  return pid === 'process.pid' || signal === '0';
}

function startsKiller(call) {
  const [program] = call.arguments;
  const name = ts.isPropertyAccessExpression(call.expression) ? call.expression.name : call.expression;
  return (
    STARTS_PROGRAM.test(name.getText()) &&
    program !== undefined &&
    ts.isStringLiteralLike(program) &&
    KILLERS.has(program.text.split('/').at(-1))
  );
}

/** `const { kill } = process`: from there on nobody sees whom it is called for. */
function takesKillOut(node, checker) {
  return (
    ts.isVariableDeclaration(node) &&
    ts.isObjectBindingPattern(node.name) &&
    node.initializer !== undefined &&
    isGlobalProcess(node.initializer, checker) &&
    node.name.elements.some(({ propertyName, name }) => (propertyName ?? name).getText() === 'kill')
  );
}

/** Whether an expression is Node's own `process`, and no variable of that name. */
function isGlobalProcess(expression, checker) {
  if (ts.isPropertyAccessExpression(expression)) {
    return expression.name.text === 'process' && expression.expression.getText() === 'globalThis';
  }
  if (!ts.isIdentifier(expression) || expression.text !== 'process') return false;
  const declarations = checker.getSymbolAtLocation(expression)?.declarations ?? [];
  return declarations.every((declaration) => ts.isImportClause(declaration));
}
