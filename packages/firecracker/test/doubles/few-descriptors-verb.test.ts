import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withFewDescriptors } from '@microvm/conformance';
import { readOwnerId } from '@microvm/driver-kit';
import { describe, expect, it, onTestFinished } from 'vitest';
import { takeLedger } from '../ledger.js';

const CHILD = {
  path: fileURLToPath(new URL('few-descriptors-verb-child.ts', import.meta.url)),
  execArgv: ['--conditions=@microvm/source', '--import', 'tsx'],
};

interface Found {
  /** Of the VM that the verb was called for. */
  readonly state: string;
  /** Of the VMM that the VM had before the call. */
  readonly vmm: 'none' | 'alive' | 'ended';
}

interface Expected {
  /** What the VM may be after a call that failed. */
  readonly states: readonly string[];
  readonly vmm?: Found['vmm'];
  /** What the VM is after a call that had enough descriptors. */
  readonly done: string;
}

/** A VM that could not be made may leave something, which the view names and `destroyVm` removes. */
const NOT_MADE = ['gone', 'destroyed', 'crashed'];
const VERBS: Readonly<Record<string, Expected>> = {
  create: { states: NOT_MADE, done: 'created' },
  restore: { states: NOT_MADE, done: 'running' },
  // With one descriptor to spare the agent's stream may take it, and then the removal of the VMM has none.
  start: { states: ['created', 'crashed'], done: 'running' },
  pause: { states: ['running'], vmm: 'alive', done: 'paused' },
  resume: { states: ['paused'], vmm: 'alive', done: 'running' },
  // Without a descriptor for the agent nobody can let the guest go on.
  snapshot: { states: ['running', 'paused'], vmm: 'alive', done: 'running' },
  stop: { states: ['running'], vmm: 'alive', done: 'stopped' },
  destroy: { states: ['crashed'], vmm: 'ended', done: 'destroyed' },
};

const CODES = ['MICROVM_HOST_FAILURE', 'MICROVM_CLEANUP_INCOMPLETE'];

describe.each([true, false])('with ever more descriptors to spare; jail: %s', (jail) => {
  it.each(Object.entries(VERBS))(
    '%s fails as the host’s fault until there are enough, and leaves the VM as the contract says',
    async (verb, { states, vmm, done }) => {
      const folder = await mkdtemp(join(tmpdir(), 'fc-few-'));
      onTestFinished(() => rm(folder, { recursive: true, force: true }));
      const stateDir = join(folder, 'state');
      const { failures, result } = await withFewDescriptors<string, Found>(CHILD, [
        ...[verb, stateDir, String(jail)],
      ]);
      // One descriptor is enough for a verb that never needs two at once, so the first call alone must fail.
      expect(failures.length).toBeGreaterThan(0);
      for (const { error, found } of failures) {
        const text = JSON.stringify({ error, found });
        expect(CODES, text).toContain(error['code']);
        expect(error['retryable'], text).toBe(true);
        expect(error['message'], text).toContain('EMFILE');
        expect(states, text).toContain(found.state);
        if (vmm !== undefined) expect(found.vmm, text).toBe(vmm);
      }
      expect(result).toBe(done);
      const ledger = await takeLedger({ stateDir, scope: 'state', ownerId: await readOwnerId(stateDir) });
      expect(ledger).toMatchObject({ processes: [], sockets: [], cgroups: [], mounts: [] });
    },
  );
});
