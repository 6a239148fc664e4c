import type { ErrorCode, VmRuntime } from '@microvm/runtime';
import { describe, test } from 'vitest';
import { refusal, withoutEffect } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';

interface Names {
  /** VMs in these states, and an id that is not known. */
  readonly created: string;
  readonly destroyed: string;
  readonly unknown: string;
}

interface Rule {
  readonly title: string;
  readonly code: ErrorCode;
  readonly needs: 'rename' | 'diskSnapshot' | 'nothing';
  call(runtime: VmRuntime, names: Names): Promise<unknown>;
}

const wrong = '../wrong';

const RULES: readonly Rule[] = [
  {
    title: 'a wrong new id comes before a VM that is not there',
    code: 'MICROVM_INVALID_ARGUMENT',
    needs: 'rename',
    call: (runtime, { unknown }) => runtime.renameVm(unknown, wrong),
  },
  {
    title: 'a wrong snapshot id comes before a VM that is not there',
    code: 'MICROVM_INVALID_ARGUMENT',
    needs: 'diskSnapshot',
    call: (runtime, { unknown }) => runtime.snapshotVm(unknown, wrong),
  },
  {
    title: 'a wrong argument comes before the wrong state',
    code: 'MICROVM_INVALID_ARGUMENT',
    needs: 'diskSnapshot',
    call: (runtime, { destroyed }) => runtime.snapshotVm(destroyed, wrong),
  },
  {
    title: 'a wrong option comes before the wrong state',
    code: 'MICROVM_INVALID_ARGUMENT',
    needs: 'nothing',
    call: (runtime, { created }) => runtime.stopVm(created, { timeoutMs: -1 }),
  },
  {
    title: 'a wrong spec comes before an id that is taken',
    code: 'MICROVM_INVALID_ARGUMENT',
    needs: 'nothing',
    call: (runtime, { created }) => runtime.createVmWithSpec(created, { vcpuCount: 0 }),
  },
  {
    title: 'a VM that is not there comes before a name that exists',
    code: 'MICROVM_VM_NOT_FOUND',
    needs: 'rename',
    call: (runtime, { unknown, created }) => runtime.renameVm(unknown, created),
  },
  {
    title: 'the wrong state comes before an id that is taken',
    code: 'MICROVM_INVALID_TRANSITION',
    needs: 'rename',
    call: (runtime, { destroyed, created }) => runtime.renameVm(destroyed, created),
  },
  {
    title: 'the wrong state comes before a snapshot name that exists',
    code: 'MICROVM_INVALID_TRANSITION',
    needs: 'diskSnapshot',
    call: (runtime, { destroyed }) => runtime.snapshotVm(destroyed, 'exists'),
  },
];

/** Argument, VM not found, state, name exists: always in this order. */
export function registerCheckOrder(fixture: ProviderFixture): void {
  describe('order of checks', () => {
    for (const rule of RULES) {
      if (rule.needs !== 'nothing' && !fixture.capabilities[rule.needs]) continue;
      test(rule.title, async () => {
        const runtime = await fixture.open();
        const { vmId: created } = await fixture.arrange('created');
        const { vmId: destroyed } = await fixture.arrange('created');
        if (fixture.capabilities.diskSnapshot) await runtime.snapshotVm(destroyed, 'exists');
        await runtime.destroyVm(destroyed);
        const names = { created, destroyed, unknown: fixture.newId() };
        await withoutEffect(runtime, () => refusal(rule.code, rule.call(runtime, names)));
      });
    }
  });
}
