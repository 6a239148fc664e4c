import type { ArithmeticFor, Case, CompoundCommand, For, If, While } from 'unbash';
import { statusOf } from '../process/status.js';
import { patternOf } from './pattern.js';
import type { Shell } from './shell.js';
import { LoopJump, ShellError } from './shell-error.js';
import { testExpression } from './test-command.js';

/** Runs a compound command and answers its status. */
export async function runCompound(shell: Shell, node: CompoundCommand): Promise<number> {
  switch (node.type) {
    case 'BraceGroup':
      return shell.runList(node.body.commands);
    case 'Subshell': {
      const { commands } = node.body;
      const end = await shell.subshell(shell.state.retained(), (inner) => inner.runList(commands));
      return shell.settle(statusOf(end));
    }
    case 'If':
      return runIf(shell, node);
    case 'For':
      return runFor(shell, node);
    case 'ArithmeticFor':
      return runArithmeticFor(shell, node);
    case 'While':
      return runWhile(shell, node);
    case 'Case':
      return runCase(shell, node);
    case 'ArithmeticCommand':
      return shell.settle((await shell.expander.arithmetic(node.expression)) === 0n ? 1 : 0);
    case 'TestCommand':
      return shell.settle((await testExpression(shell, node.expression)) ? 0 : 1);
    case 'Select':
      throw new ShellError('select: not in sh');
  }
}

async function runIf(shell: Shell, node: If): Promise<number> {
  if ((await shell.runCondition(node.clause)) === 0) return shell.runList(node.then.commands);
  for (const { clause, then } of node.elif) {
    if ((await shell.runCondition(clause)) === 0) return shell.runList(then.commands);
  }
  return node.else === undefined ? 0 : shell.runList(node.else.commands);
}

/** Runs the body of a loop once; true when the loop is over. */
async function runBody(shell: Shell, body: () => Promise<unknown>): Promise<boolean> {
  shell.state.loops += 1;
  try {
    await body();
    return false;
  } catch (error) {
    if (!(error instanceof LoopJump)) throw error;
    if (error.levels > 1 && shell.state.loops > 1) throw new LoopJump(error.kind, error.levels - 1);
    return error.kind === 'break';
  } finally {
    shell.state.loops -= 1;
  }
}

async function runFor(shell: Shell, { name, wordlist, body }: For): Promise<number> {
  const values = wordlist === undefined ? [...shell.state.parameters] : await shell.expander.words(wordlist);
  let status = 0;
  for (const value of values) {
    shell.state.set(name.value, value);
    const isOver = await runBody(shell, async () => (status = await shell.runList(body.commands)));
    await shell.process.system.breathe(shell.process.signal);
    if (isOver) break;
  }
  return status;
}

async function runArithmeticFor(shell: Shell, node: ArithmeticFor): Promise<number> {
  const { initialize, test, update, body } = node;
  await shell.expander.arithmetic(initialize);
  let status = 0;
  while (test === undefined || (await shell.expander.arithmetic(test)) !== 0n) {
    const isOver = await runBody(shell, async () => (status = await shell.runList(body.commands)));
    await shell.process.system.breathe(shell.process.signal);
    if (isOver) break;
    await shell.expander.arithmetic(update);
  }
  return status;
}

async function runWhile(shell: Shell, { kind, clause, body }: While): Promise<number> {
  let status = 0;
  let goesOn = true;
  while (goesOn) {
    const isOver = await runBody(shell, async () => {
      const isTrue = (await shell.runCondition(clause)) === 0;
      goesOn = isTrue === (kind === 'while');
      if (goesOn) status = await shell.runList(body.commands);
    });
    await shell.process.system.breathe(shell.process.signal);
    if (isOver) break;
  }
  return status;
}

async function runCase(shell: Shell, { word, items }: Case): Promise<number> {
  const text = await shell.expander.single(word);
  let status = 0;
  let fallsThrough = false;
  for (const { pattern, body, terminator } of items) {
    let isMatch = fallsThrough;
    for (const each of pattern) {
      if (!isMatch) isMatch = patternOf(await shell.expander.segments(each)).test(text);
    }
    if (!isMatch) continue;
    status = await shell.runList(body.commands);
    if (terminator !== ';&' && terminator !== ';;&') return status;
    fallsThrough = terminator === ';&';
  }
  return status;
}
