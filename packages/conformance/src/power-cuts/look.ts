import { deepStrictEqual, ok } from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { TRANSITIONS, type VmRuntime } from '@microvm/runtime';
import { inputFor } from '../crashes/arrange-scenario.js';
import { checkOutcome, isReplayed } from '../crashes/outcome.js';
import type { ChildProvider } from '../crashes/run-crash-child.js';
import { afterDeath, phaseOf, scenarioOf, type Phase } from '../crashes/scenarios.js';
import { emptyRuntime } from '../emptying.js';
import { filesOfVms, processesUsing } from '../footprint.js';
import { ANSWERED, DRIVE_ID, type DriveTask, type LookTask } from './tasks.js';

/**
 * Opens the state directory on the boot after the cut. Rejects unless what was acknowledged is there and
 * works, what was not is settled by the table of outcomes, and nothing of either is left when it has been
 * destroyed.
 */
export async function look(factory: ChildProvider, stateDir: string, task: LookTask): Promise<void> {
  const { vmId, golden, step, drive } = task;
  const scenario = scenarioOf(task.scenario);
  const phase: Phase = step === ANSWERED ? 'after' : phaseOf(scenario, step);
  const runtime = await factory.open({ stateDir });
  const capabilities = { ...runtime.capabilities, adoption: false }; // no VMM survives its host
  const input = inputFor({ factory, runtime, vmId, spec: factory.spec ?? {}, golden });
  await checkOutcome({
    ...{ scenario, phase, input },
    afterDeath: (state) => afterDeath(capabilities, state),
  });
  deepStrictEqual(runtime.recovery.adopted, []);
  deepStrictEqual(runtime.recovery.notSwept, []);
  deepStrictEqual(await processesUsing(stateDir), []);
  if (isReplayed(scenario, phase)) await scenario.act(input);
  await checkDisks(stateDir, drive);
  await startAll(runtime);
  await restoreAll(runtime);
  await emptyRuntime(runtime, { keptSnapshotUid: golden });
  await runtime.close();
  deepStrictEqual(await processesUsing(stateDir), []);
  deepStrictEqual(await filesOfVms(stateDir), task.files);
}

/** Every private copy of the drive, those of snapshots too, has its content. */
async function checkDisks(stateDir: string, { sha256 }: DriveTask): Promise<void> {
  const entries = await readdir(stateDir, { recursive: true, withFileTypes: true });
  const copies = entries.filter((entry) => entry.isFile() && entry.name.endsWith(`${DRIVE_ID}.raw`));
  ok(copies.length > 0, `no copy of the drive below ${stateDir}`);
  for (const copy of copies) {
    const file = join(copy.parentPath, copy.name);
    const hash = createHash('sha256');
    await pipeline(createReadStream(file), hash);
    deepStrictEqual(hash.digest('hex'), sha256, `${file} is not what it was made from`);
  }
}

/** Each VM that is left boots, without the secrets that went with the power. */
async function startAll(runtime: VmRuntime): Promise<void> {
  for (const { vmId, state, secrets } of await runtime.listVms()) {
    if (!TRANSITIONS.startVm.from.includes(state)) continue;
    const givenUp = Object.fromEntries(secrets.map(({ name }) => [name, null]));
    const started = await runtime.startVm(vmId, { secrets: givenUp });
    ok(started.state === 'running', `"${vmId}" is ${started.state} after its start`);
  }
}

/** And each snapshot that is left makes another. */
async function restoreAll(runtime: VmRuntime): Promise<void> {
  for (const [index, { snapshotUid, kind }] of (await runtime.listSnapshots()).entries()) {
    await runtime.verifySnapshot({ snapshotUid });
    const view = await runtime.createVmWithSpec(`restored-${index}`, { restoreFrom: { snapshotUid } });
    deepStrictEqual(view.state, kind === 'memory' ? 'running' : 'created');
  }
}
