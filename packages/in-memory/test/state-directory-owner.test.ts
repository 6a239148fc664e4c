import { chmod, chown, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { createInMemoryRuntime } from '../src/index.js';

const isRoot = process.geteuid?.() === 0;
const NOBODY = 65_534;

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'microvm-owner-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const REFUSAL = { code: 'MICROVM_INVALID_ARGUMENT', details: { path: 'stateDir' } };

it.each(['0777', '0770', '1777', '0702'])(
  'refuses a state directory that others may write to: mode %s',
  async (mode) => {
    const stateDir = await makeFolder();
    await chmod(stateDir, Number.parseInt(mode, 8));
    await expect(createInMemoryRuntime({ stateDir })).rejects.toMatchObject({
      ...REFUSAL,
      remedy: expect.stringContaining(`chmod go-w '${stateDir}'`) as string,
    });
    expect(await readdir(stateDir)).toEqual([]);
    await chmod(stateDir, 0o755);
    await (await createInMemoryRuntime({ stateDir })).close();
  },
);

it.runIf(isRoot)('refuses a state directory of another user', async () => {
  const stateDir = await makeFolder();
  await chown(stateDir, NOBODY, NOBODY);
  await expect(createInMemoryRuntime({ stateDir })).rejects.toMatchObject({
    ...REFUSAL,
    remedy: expect.stringContaining(`chown 0 '${stateDir}'`) as string,
  });
  expect(await readdir(stateDir)).toEqual([]);
});
