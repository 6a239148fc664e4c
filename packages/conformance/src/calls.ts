import type { OperationOptions, SnapshotRef, VerbName, VmRuntime, VmVerb } from '@microvm/runtime';

/** One method of the contract, called on a VM. */
export type Call = (runtime: VmRuntime, vmId: string, options?: OperationOptions) => Promise<unknown>;

/** The id that `snapshotVm` takes in these tables, and that the calls on snapshots name. */
export const SNAPSHOT_ID = 'taken';

/** What `setEnv` sets in these tables. */
export const VARIABLES = { COLOUR: 'blue' } as const;

/** What `setSecret` gives in these tables. */
export const SECRET = { name: 'token', value: 'open sesame' } as const;

/** The id that `renameVm` gives in these tables. */
export function renamed(vmId: string): string {
  return `${vmId}-renamed`;
}

export function refTo(vmId: string): SnapshotRef {
  return { vmId, snapshotId: SNAPSHOT_ID };
}

export const VERB_CALLS: Readonly<Record<VmVerb, Call>> = {
  startVm: (runtime, vmId, options) => runtime.startVm(vmId, options),
  stopVm: (runtime, vmId, options) => runtime.stopVm(vmId, options),
  pauseVm: (runtime, vmId, options) => runtime.pauseVm(vmId, options),
  resumeVm: (runtime, vmId, options) => runtime.resumeVm(vmId, options),
  snapshotVm: (runtime, vmId, options) => runtime.snapshotVm(vmId, SNAPSHOT_ID, options),
  renameVm: (runtime, vmId, options) => runtime.renameVm(vmId, renamed(vmId), options),
  setEnv: (runtime, vmId, options) => runtime.setEnv(vmId, VARIABLES, options),
  setSecret: (runtime, vmId, options) => runtime.setSecret(vmId, SECRET.name, SECRET.value, options),
  deleteSecret: (runtime, vmId, options) => runtime.deleteSecret(vmId, SECRET.name, options),
  destroyVm: (runtime, vmId, options) => runtime.destroyVm(vmId, options),
  forgetVm: (runtime, vmId, options) => runtime.forgetVm(vmId, options),
};

type CreateMethod = 'createVm' | 'createVmWithSpec';
type SnapshotMethod = 'deleteSnapshot' | 'verifySnapshot';
/** The methods that are lifecycle jobs. */
export type JobMethod = VerbName | 'createVmWithSpec';

export const CREATE_CALLS: Readonly<Record<CreateMethod, Call>> = {
  createVm: (runtime, vmId, options) => runtime.createVm(vmId, options),
  createVmWithSpec: (runtime, vmId, options) => runtime.createVmWithSpec(vmId, {}, options),
};

const SNAPSHOT_CALLS: Readonly<Record<SnapshotMethod, Call>> = {
  deleteSnapshot: (runtime, vmId, options) => runtime.deleteSnapshot(refTo(vmId), options),
  verifySnapshot: (runtime, vmId, options) => runtime.verifySnapshot(refTo(vmId), options),
};

/** Every method that is a lifecycle job. */
export const JOB_CALLS: Readonly<Record<JobMethod, Call>> = {
  ...CREATE_CALLS,
  ...VERB_CALLS,
  ...SNAPSHOT_CALLS,
};

export const JOB_METHODS = Object.keys(JOB_CALLS) as readonly JobMethod[];

/** Every method that asks for a VM by its id and is not a job. */
export const VM_QUERIES: Readonly<Record<string, Call>> = {
  getVm: (runtime, vmId) => runtime.getVm(vmId),
  listSnapshots: (runtime, vmId) => runtime.listSnapshots(vmId),
  describeSnapshot: (runtime, vmId) => runtime.describeSnapshot(refTo(vmId)),
  metricsVm: (runtime, vmId) => runtime.metricsVm(vmId),
  guest: (runtime, vmId) => runtime.guest(vmId),
  consoleVm: async (runtime, vmId) => readAll(runtime.consoleVm(vmId)),
};

/** Every other method but `close`. */
export const OTHER_QUERIES: Readonly<Record<string, Call>> = {
  listVms: (runtime) => runtime.listVms(),
  listSnapshots: (runtime) => runtime.listSnapshots(),
  listJobs: (runtime) => runtime.listJobs(),
  getJob: (runtime) => runtime.getJob('none'),
  cancelJob: (runtime) => runtime.cancelJob('none'),
  probe: (runtime) => runtime.probe(),
  events: async (runtime) => readAll(runtime.events()),
};

/** Reads an iterable to its end. */
export async function readAll<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}
