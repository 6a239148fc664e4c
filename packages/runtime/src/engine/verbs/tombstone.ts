import type { EngineContext } from '../engine-context.js';
import type { Vm } from '../fleet.js';
import { warnOf } from '../warn-of.js';

/** Removes a destroyed VM's record and its history. */
export async function removeTombstone(
  { book, fleet, store, announcer }: EngineContext,
  tombstone: Vm,
): Promise<void> {
  const { vmId, instanceId, jobs } = tombstone.record;
  await store.removeVm(instanceId);
  book.forget(instanceId, jobs);
  fleet.remove(tombstone);
  announcer.emit({ type: 'vm-forgotten', vmId, instanceId });
}

/**
 * Removes the tombstone whose id has a new VM. That VM is committed, so a failure here changes nothing for
 * it: what is left of the tombstone is removed when the state directory is opened again.
 */
export async function replaceTombstone(context: EngineContext, tombstone: Vm): Promise<void> {
  const { vmId, instanceId, jobs } = tombstone.record;
  const { book, fleet, store, announcer } = context;
  book.forget(instanceId, jobs);
  fleet.remove(tombstone);
  await store.removeVm(instanceId).catch((error: unknown) => {
    warnOf(`remove the record of the destroyed "${vmId}"`, error);
  });
  announcer.emit({ type: 'vm-forgotten', vmId, instanceId });
}
