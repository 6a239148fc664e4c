import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ROOT } from '../../setup/run.mjs';
import { REVIEWED, unreviewedSignals } from '../reviewed-signals.mjs';
import { signalCalls } from '../signal-calls.mjs';

const calls = (path, text) => signalCalls(path, text).map(({ call }) => call);

test('nothing in this tree signals a process by a number that could name strangers', async () => {
  expect(await unreviewedSignals(ROOT)).toEqual([]);
});

test.each([
  ['a.ts', `process.kill(-child.pid, 'SIGKILL')`],
  ['a.ts', `process.kill(vmm?.pid ?? 0, 'SIGKILL')`],
  ['a.ts', `process.kill(pid)`],
  ['a.mjs', `globalThis.process.kill(pid, 9)`],
  ['a.ts', `const { kill } = process`, `{ kill } = process`],
  ['a.ts', `pids.forEach(process.kill)`, 'process.kill'],
  ['a.ts', `import process from 'node:process'; process.kill(0, 'SIGTERM')`, `process.kill(0, 'SIGTERM')`],
  ['a.js', `execFileSync('pkill', ['-f', 'qemu'])`],
  ['a.ts', `spawn('/bin/kill', args)`],
  ['a.ts', 'shell(`kill -9 -${pid}`)', 'kill -9 -${pid}'],
  ['a.ts', `run('sh', ['-c', 'kill 0'])`, 'kill 0'],
  ['a.cc', 'kill(-group, SIGKILL);', 'kill(-group, SIGKILL)'],
  ['a.cc', '  ::kill(pid,\n    number);', '::kill(pid, number)'],
  ['a.c', 'killpg(group, 9);', 'killpg(group, 9)'],
  ['a.cc', 'syscall(SYS_kill, pid, 9);', 'syscall(SYS_kill, pid, 9)'],
  ['a.cc', 'system("kill -TERM -- -1");', 'kill -TERM -- -1'],
  ['run.sh', 'trap "kill 0" EXIT', 'kill 0" EXIT'],
  ['run', '#!/bin/sh\nkill -s TERM -$group', 'kill -s TERM -$group'],
  ['run', '#!/usr/bin/env bash\npkill -f vitest', 'pkill'],
  ['package.json', '{ "scripts": { "stop": "killall node" } }', 'killall'],
])('in %s, `%s` is found', (path, text, call = text) => {
  expect(calls(path, text)).toEqual([call]);
});

test.each([
  ['a.ts', `process.kill(process.pid, 'SIGKILL')`],
  ['a.ts', `process.kill(pid, 0)`],
  ['a.ts', `const process = await guest.exec(); process.kill('SIGHUP')`],
  ['a.ts', `({ process }) => process.kill(signal)`],
  ['a.ts', `child.kill('SIGKILL')`],
  ['a.ts', `test('kill -9 at each step', () => {})`],
  ['a.ts', `shell('kill -0 "$1"', pid)`],
  ['a.ts', `shell('kill -SEGV $$')`],
  ['a.ts', `// process.kill(-1)`],
  ['a.cc', 'kill(getpid(), SIGIO);'],
  ['a.cc', 'if (kill(pid, 0) == 0) return;'],
  ['a.cc', '// kill(-1, SIGKILL)\n/* killpg(1, 2) */ Log("kill(0)");'],
  ['a.cc', 'WriteSmallFile("cgroup.kill", "1"); ward.kill(9); oom_kill(x);'],
  ['run.sh', 'kill "$pid"'],
  ['notes.md', 'kill -9 -1'],
])('in %s, `%s` harms nobody', (path, text) => {
  expect(calls(path, text)).toEqual([]);
});

/** A tree with the reviewed files in it, of which one is changed. */
async function treeWith(changes) {
  const root = await mkdtemp(join(tmpdir(), 'microvm-checks-'));
  onTestFinished(() => rm(root, { recursive: true }));
  for (const { file } of REVIEWED) {
    await mkdir(dirname(join(root, file)), { recursive: true });
    await cp(join(ROOT, file), join(root, file));
  }
  for (const [file, change] of Object.entries(changes)) {
    await writeFile(join(root, file), change(await readFile(join(root, file), 'utf8').catch(() => '')));
  }
  return root;
}

const GROUP = REVIEWED[1];

test('a reviewed call without its guard is found', async () => {
  const root = await treeWith({ [GROUP.file]: (text) => text.replace(GROUP.guard, '') });
  expect(await unreviewedSignals(root)).toEqual([
    expect.stringMatching(/process_signal\.cc:\d+: kill\(-leader, number\) is not guarded by/),
  ]);
});

test('a new call in any file of the tree is found', async () => {
  const root = await treeWith({ 'new.ts': () => `\nprocess.kill(-pid, 'SIGTERM');\n` });
  expect(await unreviewedSignals(root)).toEqual([
    `new.ts:2: process.kill(-pid, 'SIGTERM') is not on the reviewed list`,
  ]);
});

test('a reviewed call that is gone must leave the list', async () => {
  const root = await treeWith({ [GROUP.file]: (text) => text.replace(GROUP.call, '0') });
  expect(await unreviewedSignals(root)).toEqual([
    `${GROUP.file}: ${GROUP.call} is on the reviewed list and gone`,
  ]);
});
