import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SCRIPTS } from './scripts.js';
import { shellGuest } from './shell-guest.js';

interface Outcome {
  readonly stdout: string;
  readonly exitCode: number;
}

/** What the host's own shell and programs say. */
async function onHost(script: string, input: string): Promise<Outcome> {
  const cwd = await mkdtemp(join(tmpdir(), 'as-dash-'));
  const env = { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: '/root', LC_ALL: 'C.UTF-8' };
  try {
    return await new Promise((resolve) => {
      const child = execFile('/bin/sh', ['-c', script], { cwd, env, encoding: 'utf8' }, (error, stdout) => {
        resolve({
          stdout,
          exitCode: typeof error?.code === 'number' ? error.code : error === null ? 0 : 255,
        });
      });
      child.stdin?.on('error', () => undefined); // a script need not read it
      child.stdin?.end(input);
    });
  } finally {
    await rm(cwd, { recursive: true });
  }
}

test.each(SCRIPTS)('does what the host does: %s', async (script) => {
  const input = 'first line\nsecond  line\n';
  const guest = await shellGuest();
  const { stdout, exitCode } = await guest.exec({
    argv: ['sh', '-c', script],
    cwd: '/tmp',
    env: { LC_ALL: 'C.UTF-8' },
    input,
  }).result;
  expect({ stdout: stdout.toString(), exitCode }).toEqual(await onHost(script, input));
});
