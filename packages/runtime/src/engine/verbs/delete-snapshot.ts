import { VmRuntimeError } from '../../contract/errors.js';
import { isLive } from '../../contract/states.js';
import type { VerbArgs } from '../../contract/verbs.js';
import { sweepContent } from '../content-use.js';
import type { EngineContext } from '../engine-context.js';
import type { Job } from '../job.js';
import type { JobResult } from '../record.js';
import { noteRemoval } from '../removal.js';
import type { Verb } from '../verb.js';
import { parseSnapshotRef, resolveSnapshot, snapshotNotFound, subjectOfSnapshot } from './snapshot-ref.js';

/** Deletes also a snapshot whose manifest cannot be read. */
export const deleteSnapshot: Verb<'deleteSnapshot'> = {
  kind: 'deleteSnapshot',
  parse: { snapshot: parseSnapshotRef },
  needs: [],
  journal: 'single',
  names: () => [],
  subject: (context, { snapshot }) => subjectOfSnapshot(context, snapshot),
  execute,
  isStillThere: ({ catalogue }, { snapshotUid = '' }) => catalogue.has(snapshotUid),
  answer: () => undefined,
};

async function execute(
  context: EngineContext,
  { snapshot }: VerbArgs<'deleteSnapshot'>,
  job: Job,
): Promise<JobResult> {
  const { catalogue, driver, journal, announcer } = context;
  const snapshotUid = resolveSnapshot(context, snapshot);
  if (snapshotUid === undefined || !catalogue.has(snapshotUid)) throw snapshotNotFound(snapshot);
  guardUnused(context, snapshotUid);
  await journal.step(`${job.kind}:accepted`);
  await noteRemoval(context, job, { snapshotUid });
  // Meanwhile the snapshot may have gone or come into use. Nothing may wait between this check and the
  // removal.
  if (!catalogue.has(snapshotUid)) throw snapshotNotFound(snapshot);
  guardUnused(context, snapshotUid);
  await catalogue.remove(snapshotUid);
  driver.snapshots?.forget?.(snapshotUid);
  await sweepContent(context);
  await journal.step(`${job.kind}:committed`);
  announcer.emit({ type: 'snapshot-deleted', snapshotUid });
  return { snapshotUid };
}

function guardUnused({ fleet, catalogue }: EngineContext, snapshotUid: string): void {
  const users = [...fleet.all()]
    .filter(
      ({ record }) =>
        record.memoryFrom === snapshotUid && (isLive(record.state) || record.operation !== undefined),
    )
    .map(({ record }) => record.vmId);
  if (users.length === 0 && !catalogue.isHeld(snapshotUid)) return;
  const use = users.length === 0 ? 'is being read' : `is in use: ${users.join(', ')}`;
  throw new VmRuntimeError('MICROVM_SNAPSHOT_IN_USE', `snapshot ${snapshotUid} ${use}`, {
    details: { snapshotUid, users },
  });
}
