import { setTimeout } from 'node:timers/promises';
import { VmRuntimeError, within } from '@microvm/runtime';
import type { QmpCallOptions } from '../qmp/client.js';
import type { QmpEvent } from '../qmp/wire.js';
import type { LiveVm } from './live-vm.js';

const CANCEL_CALL: QmpCallOptions = { timeoutMs: 1000 };
const CANCEL_WAIT_MS = 1000;
const FINALIZE_LOOK_MS = 1;
// QEMU's own default of 128 MiB/s is for networks.
const NO_BANDWIDTH_LIMIT = 2 ** 40;
const NO_SPACE_TEXT = /No space left on device|Disk quota exceeded/;

interface Capability {
  readonly capability: string;
  readonly state: boolean;
}

/** `isMemoryApart`: the guest's memory is not part of the stream, as it is in a file that both sides map. */
export async function prepareMigration(
  live: LiveVm,
  isMemoryApart: boolean,
  signal: AbortSignal,
): Promise<void> {
  const capabilities: Capability[] = [
    { capability: 'events', state: true },
    { capability: 'x-ignore-shared', state: isMemoryApart },
  ];
  await live.command('migrate-set-capabilities', { capabilities }, { signal });
  await live.command('migrate-set-parameters', { 'max-bandwidth': NO_BANDWIDTH_LIMIT }, { signal });
}

/**
 * Starts a migration, into or out of a file, and waits for its end. When it does not come to one it is
 * cancelled: no migration is left when this rejects.
 */
export async function runMigration(
  live: LiveVm,
  path: string,
  start: () => Promise<unknown>,
  signal: AbortSignal,
): Promise<void> {
  const settled = migrationEnd(live);
  try {
    await start();
    const end = await within(
      Promise.race([settled.end, live.ended.then(() => 'vmm-exit')]),
      { signal },
      () => '',
    );
    if (end === 'completed') return await untilFinalized(live, { signal });
    throw end === 'vmm-exit' ? await live.exited(await live.process.exited) : await failure(live, path, end);
  } catch (error) {
    await cancelMigration(live, settled.end);
    throw error;
  } finally {
    settled.stop();
  }
}

/**
 * Ends a migration that may be under way; without effect where there is none. Takes no longer than a driver
 * may after an abort.
 */
export async function cancelMigration(
  live: LiveVm,
  ended: Promise<unknown> = Promise.resolve(),
): Promise<void> {
  if (live.hasEnded) return;
  if (await isMigrating(live)) {
    await live.command('migrate_cancel', {}, CANCEL_CALL).catch(() => undefined); // it ended in between
    await within(ended, { timeoutMs: CANCEL_WAIT_MS }, () => undefined);
  }
  await within(untilFinalized(live, CANCEL_CALL), { timeoutMs: CANCEL_WAIT_MS }, () => undefined).catch(
    () => undefined, // a monitor that hangs: the next command says so
  );
}

/**
 * QEMU says that a migration is complete before it has put the VM into the state after it, and has no event
 * for that moment.
 */
async function untilFinalized(live: LiveVm, options: QmpCallOptions): Promise<void> {
  while ((await live.status(options)) === 'finish-migrate') await setTimeout(FINALIZE_LOOK_MS);
}

async function isMigrating(live: LiveVm): Promise<boolean> {
  const status = await migrationStatus(live).catch(() => ({ status: undefined }));
  return ['setup', 'active', 'pre-switchover', 'device', 'cancelling'].includes(String(status.status));
}

interface MigrationStatus {
  readonly status?: unknown;
  readonly 'error-desc'?: unknown;
}

async function migrationStatus(live: LiveVm): Promise<MigrationStatus> {
  return (await live.command('query-migrate', {}, CANCEL_CALL)) as MigrationStatus;
}

function migrationEnd(live: LiveVm): { readonly end: Promise<string>; stop(): void } {
  let stop = (): void => {};
  const end = new Promise<string>((resolve) => {
    stop = live.subscribe(({ name, data }: QmpEvent) => {
      const status = String(data['status']);
      if (name === 'MIGRATION' && ['completed', 'failed', 'cancelled'].includes(status)) resolve(status);
    });
  });
  return { end, stop };
}

async function failure(live: LiveVm, path: string, end: string): Promise<Error> {
  const status = await migrationStatus(live);
  const described = status['error-desc'];
  const problem = typeof described === 'string' ? described : `migration ${end}`;
  if (NO_SPACE_TEXT.test(problem)) {
    return new VmRuntimeError('MICROVM_NO_SPACE', `write "${path}": ${problem}`, {
      details: { path },
    });
  }
  return new VmRuntimeError('MICROVM_VMM_REJECTED', `QEMU: migrate: ${problem}`, {
    details: { request: 'migrate', status: end, faultMessage: problem },
  });
}
