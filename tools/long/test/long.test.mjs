import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT } from '../../setup/run.mjs';
import { workspaceManifests } from '../../setup/workspaces.mjs';
import { LONG_RUNS } from '../long-runs.mjs';

function long(...args) {
  return spawnSync(process.execPath, [join(ROOT, 'tools/long/main.mjs'), ...args], { encoding: 'utf8' });
}

test('without a name it lists what there is, with what it is for and how long it takes', () => {
  const { status, stdout } = long();
  expect(status).toBe(0);
  for (const name of Object.keys(LONG_RUNS))
    expect(stdout).toMatch(new RegExp(`^  ${name} +\\S.* min\\)$`, 'm'));
});

test('an unknown name fails with the list', () => {
  const { status, stderr } = long('no-such-run');
  expect(status).toBe(1);
  expect(stderr).toMatch(/^✖ no "no-such-run"; there are\n {2}busy-gate /);
});

describe('each command of the list exists', async () => {
  const root = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
  const manifests = await workspaceManifests();
  const commands = Object.entries(LONG_RUNS).flatMap(([name, run]) =>
    run.commands.map((command) => [name, command]),
  );
  test.each(commands)('%s: %j', (_name, [program, ...args]) => {
    if (program === 'npm' && args[0] === 'run') {
      const at = args.indexOf('-w');
      const workspace = at < 0 ? undefined : args[at + 1];
      const manifest =
        workspace === undefined ? root : (manifests.get(workspace) ?? manifests.get(`@microvm/${workspace}`));
      expect(manifest.scripts).toHaveProperty([args[1]]);
    } else if (program === 'node') expect(existsSync(join(ROOT, args[0]))).toBe(true);
    else expect(program).toMatch(/^(cmake|native\/build\/.*)$/);
  });
});

test('a command beside busy loops keeps its exit code', () => {
  const busy = join(ROOT, 'tools/long/busy.mjs');
  expect(spawnSync(process.execPath, [busy, 'sh', '-c', 'exit 3']).status).toBe(3);
});
