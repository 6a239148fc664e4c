import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { bin } from '../../setup/run.mjs';

// Two packages bring a program of that name: the compiler, and the version 6 that eslint's parser needs.
it('`tsc` is the native compiler', async () => {
  const { stdout } = await promisify(execFile)(bin('tsc'), ['--version']);
  expect(stdout).toMatch(/^Version 7\./);
});
