import { fork } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { openDoubles } from './doubles.js';

const CHILD = fileURLToPath(new URL('few-descriptors-child.ts', import.meta.url));
const LIMIT = 96;

interface Outcome {
  readonly failures: readonly { readonly code?: string; readonly message: string }[];
  readonly adopted: { readonly adopted: readonly unknown[]; readonly ended: readonly unknown[] };
}

async function openWithFewDescriptors(stateDir: string): Promise<Outcome> {
  // A shell sets the limit: Node has no call for it.
  const node = `${stateDir}-node`;
  await writeFile(node, `#!/bin/sh\nulimit -n ${LIMIT} && exec '${process.execPath}' "$@"\n`);
  await chmod(node, 0o755);
  const child = fork(CHILD, [stateDir], {
    execPath: node,
    execArgv: ['--conditions=@microvm/source', '--import', 'tsx'],
  });
  const [outcome] = (await once(child, 'message')) as [Outcome];
  return outcome;
}

it.each([true, false])(
  'an open without enough descriptors never gives up a VM that lives; jail: %s',
  async (jail) => {
    const folder = await mkdtemp(join(tmpdir(), 'fc-few-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const stateDir = join(folder, 'state');
    const first = await openDoubles({ stateDir });
    await first.createVmWithSpec('a', { jail });
    const { vmm } = await first.startVm('a');
    await first.close();
    const { failures, adopted } = await openWithFewDescriptors(stateDir);
    expect(failures.length).toBeGreaterThan(3);
    for (const failure of failures)
      expect(failure).toMatchObject({ code: 'MICROVM_HOST_FAILURE', retryable: true });
    expect(adopted).toMatchObject({ adopted: [{ vmId: 'a', state: 'running' }], ended: [] });
    const last = await openDoubles({ stateDir });
    expect(await last.pauseVm('a')).toMatchObject({ state: 'paused', vmm });
  },
);
