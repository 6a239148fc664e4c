import type { VmRuntime } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { CREATE_CALLS, JOB_CALLS, VM_QUERIES, type Call } from '../calls.js';
import { refusal, withoutEffect } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';
import { isMethodSupported } from '../support.js';

const GOOD_IDS = [
  'a',
  'Z',
  '0',
  '_',
  'a.b',
  'a-b',
  'A_b.c-9',
  '9'.repeat(64),
  '__proto__',
  'constructor',
  'CON',
];

const BAD_IDS: readonly (readonly [what: string, id: unknown])[] = [
  ['an empty id', ''],
  ['"."', '.'],
  ['".."', '..'],
  ['an id that starts with a dot', '.hidden'],
  ['an id that starts with a hyphen', '-rf'],
  ['an id with a slash', 'a/b'],
  ['a path that climbs', '../../etc/passwd'],
  ['an id with a space', 'a b'],
  ['an id with a line break', 'a\n'],
  ['an id with a NUL', 'a\0b'],
  ['an id with a letter beyond ASCII', 'ä'],
  ['an id with a colon', 'a:b'],
  ['an id of 65 characters', 'a'.repeat(65)],
  ['a number', 7],
  ['null', null],
  ['undefined', undefined],
  ['an array', ['a']],
  ['an object', { toString: () => 'a' }],
];

/** Calls that name something by the id, and the argument that `details.path` must name. */
type Naming = readonly [path: string, call: (runtime: VmRuntime, id: string) => Promise<unknown>];

function namings(fixture: ProviderFixture): Naming[] {
  const { capabilities } = fixture;
  const onVm = Object.entries<Call>({ ...JOB_CALLS, ...VM_QUERIES })
    .filter(
      ([method]) =>
        !(method in JOB_CALLS) || isMethodSupported(capabilities, method as 'createVm', 'created'),
    )
    .filter(([method]) => method !== 'guest' || capabilities.guestAgent)
    .filter(([method]) => method !== 'consoleVm' || capabilities.console)
    .map(([method, call]): Naming => [
      method === 'renameVm' ? 'oldVmId' : 'vmId',
      (runtime, id) => call(runtime, id),
    ]);
  const others: Naming[] = [
    // An absent id is no filter.
    ['vmId', (runtime, id) => runtime.listJobs({ vmId: id ?? '' })],
    [
      'vmId',
      (runtime, id) => runtime.createVmWithSpec('new', { restoreFrom: { vmId: id, snapshotId: 's' } }),
    ],
    [
      'snapshotId',
      (runtime, id) => runtime.createVmWithSpec('new', { restoreFrom: { vmId: 'a', snapshotId: id } }),
    ],
    ['snapshotUid', (runtime, id) => runtime.createVmWithSpec('new', { restoreFrom: { snapshotUid: id } })],
    ['snapshotId', (runtime, id) => runtime.describeSnapshot({ vmId: 'a', snapshotId: id })],
    ['snapshotUid', (runtime, id) => runtime.describeSnapshot({ snapshotUid: id })],
  ];
  if (capabilities.rename) others.push(['newVmId', (runtime, id) => runtime.renameVm('a', id)]);
  if (isMethodSupported(capabilities, 'deleteSnapshot', 'created')) {
    others.push(['snapshotId', (runtime, id) => runtime.snapshotVm('a', id)]);
    others.push(['snapshotId', (runtime, id) => runtime.deleteSnapshot({ vmId: 'a', snapshotId: id })]);
    others.push(['snapshotUid', (runtime, id) => runtime.deleteSnapshot({ snapshotUid: id })]);
    others.push(['snapshotUid', (runtime, id) => runtime.verifySnapshot({ snapshotUid: id })]);
  }
  return [...onVm, ...others];
}

/** Which names VMs and snapshots may have. */
export function registerIds(fixture: ProviderFixture): void {
  describe('ids', () => {
    for (const id of GOOD_IDS) {
      test(`"${id}" names a VM, as it is`, async () => {
        const runtime = await fixture.open();
        expect(await runtime.getVm(id)).toBeUndefined();
        const view = await runtime.createVmWithSpec(id, fixture.spec());
        expect(view.vmId).toBe(id);
        expect((await runtime.listVms()).map(({ vmId }) => vmId)).toEqual([id]);
      });
    }
    for (const [what, id] of BAD_IDS) {
      test(`${what} is refused by every method that takes an id`, async () => {
        const runtime = await fixture.open();
        await withoutEffect(runtime, async () => {
          for (const [path, call] of namings(fixture)) {
            const error = await refusal('MICROVM_INVALID_ARGUMENT', call(runtime, id as string));
            // For an id that is no text, an error may name the whole reference.
            expect(error.details.path).toMatch(new RegExp(`(^|\\.)(${path}|restoreFrom)$`));
          }
        });
      });
    }
    test('ids that differ in case only are two', async () => {
      const runtime = await fixture.open();
      for (const id of ['case', 'CASE']) await runtime.createVmWithSpec(id, fixture.spec());
      expect((await runtime.listVms()).map(({ vmId }) => vmId)).toEqual(['CASE', 'case']);
    });
    test('a taken id is refused, and its VM left alone', () => refusesTakenIds(fixture));
  });
}

async function refusesTakenIds(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('created');
  const runtime = await fixture.open();
  await withoutEffect(runtime, async () => {
    for (const call of Object.values<Call>(CREATE_CALLS)) {
      const error = await refusal('MICROVM_VM_ALREADY_EXISTS', call(runtime, vmId));
      expect(error.details).toEqual({ vmId });
    }
  });
}
