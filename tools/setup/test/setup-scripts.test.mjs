import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../run.mjs';

function node(code) {
  const url = JSON.stringify(`file://${join(ROOT, 'tools', 'setup', 'run.mjs')}`);
  const script = `const { main, run, spawnInherited, step, StepFailed } = await import(${url});\n${code}`;
  return spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
}

test('a step that fails ends with exit code 1 and says what failed and how', () => {
  const { status, stderr, stdout } = node(
    `await main(() => step('the build', () => run('false', ['--now'])));`,
  );
  expect(status).toBe(1);
  expect(stdout).toBe('▸ the build\n');
  expect(stderr).toMatch(/^✖ the build failed after [\d.]+ s: `false --now` ended with exit code 1\n$/);
});

test('a program that does not exist is a failed step, not a stack trace', () => {
  const { status, stderr } = node(`await main(() => step('x', () => run('no-such-program', [])));`);
  expect(status).toBe(1);
  expect(stderr).toMatch(/^✖ x failed after [\d.]+ s: `no-such-program` did not start: .*ENOENT\n$/);
});

test('a step that succeeds says what it found and how long it took', () => {
  const { status, stdout } = node(`await main(() => step('x', async () => 'all there'));`);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^▸ x\n✔ x: all there, \d+\.\d s\n$/);
});

test('what a quiet program says is shown only when it fails', () => {
  const quiet = (code) =>
    node(
      `await main(() => run('sh', ['-c', 'echo said; echo complained >&2; exit ${code}'], { log: 'test' }));`,
    );
  expect(quiet(0)).toMatchObject({ status: 0, stdout: '', stderr: '' });
  const { status, stdout, stderr } = quiet(3);
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  expect(stderr.split('\n').sort()).toEqual([
    '',
    'complained',
    'said',
    expect.stringMatching(/^✖ `sh .*exit code 3$/),
  ]);
});

test('of a long log only the end is shown, and where the whole is', () => {
  const { stderr } = node(`await main(() => run('sh', ['-c', 'seq 500; exit 1'], { log: 'test-long' }));`);
  expect(stderr).toMatch(/^… \(all of it is in .*test-long\.log\)\n401\n/);
  expect(stderr).toContain('\n500\n✖');
});

test('an error in the script itself keeps its stack trace', () => {
  const { status, stderr } = node(`await main(() => { throw new TypeError('bad script'); });`);
  expect(status).toBe(1);
  expect(stderr).toMatch(/TypeError: bad script\n +at /);
});

test('the exit code of the started program becomes ours, a signal as 128 and its number', () => {
  expect(node(`await main(() => spawnInherited('sh', ['-c', 'exit 7']));`).status).toBe(7);
  expect(node(`await main(() => spawnInherited('sh', ['-c', 'kill -9 $$']));`).status).toBe(137);
});

test('the gate names the steps when it does not know one', () => {
  const gate = join(ROOT, 'tools', 'setup', 'gate.mjs');
  const { status, stderr } = spawnSync(process.execPath, [gate, '--only', 'vitests'], { encoding: 'utf8' });
  expect(status).toBe(1);
  expect(stderr).toBe(
    '✖ no step "vitests"; there are format, lint, typecheck, cpp, tsan, fuzz, testbed, vitest\n',
  );
});
