import type { EnvironmentUpdate } from './environment.js';
import type { OperationOptions } from './options.js';
import type { SecretsUpdate, SecretValue } from './secrets.js';
import type { VmSpec } from './spec.js';
import type { SnapshotView, VmView } from './views.js';

/** Names a snapshot: through the VM it was taken of (a destroyed one too), or by its own uid. */
export type SnapshotRef =
  { readonly vmId: string; readonly snapshotId: string } | { readonly snapshotUid: string };

interface OnVm {
  readonly vmId: string;
}

/**
 * What each job is asked for with, and what it answers. Arguments and answers are JSON, so that a call can be
 * sent to another process or kept in a queue. A verb that is not in this table does not exist; one that is
 * must have its module, crash scenario, trait and row in docs/contract.md.
 */
export interface VerbTypes {
  createVm: { readonly args: OnVm & { readonly spec: VmSpec }; readonly answer: VmView };
  startVm: {
    readonly args: OnVm & {
      readonly secrets?: SecretsUpdate | undefined;
      readonly secretsOptional?: boolean | undefined;
    };
    readonly answer: VmView;
  };
  stopVm: { readonly args: OnVm; readonly answer: VmView };
  pauseVm: { readonly args: OnVm; readonly answer: VmView };
  resumeVm: { readonly args: OnVm; readonly answer: VmView };
  snapshotVm: {
    readonly args: OnVm & { readonly snapshotId: string; readonly allowSecrets?: boolean | undefined };
    readonly answer: SnapshotView;
  };
  renameVm: {
    readonly args: { readonly oldVmId: string; readonly newVmId: string };
    readonly answer: VmView;
  };
  setEnv: { readonly args: OnVm & { readonly env: EnvironmentUpdate }; readonly answer: VmView };
  setSecret: {
    readonly args: OnVm & { readonly name: string; readonly value: SecretValue };
    readonly answer: VmView;
  };
  deleteSecret: { readonly args: OnVm & { readonly name: string }; readonly answer: VmView };
  destroyVm: { readonly args: OnVm; readonly answer: VmView };
  forgetVm: { readonly args: OnVm; readonly answer: undefined };
  deleteSnapshot: { readonly args: { readonly snapshot: SnapshotRef }; readonly answer: undefined };
  verifySnapshot: { readonly args: { readonly snapshot: SnapshotRef }; readonly answer: SnapshotView };
  /** The runtime's own: a guest or its VMM ended, and what is left of it is cleared away. */
  observeVm: { readonly args: { readonly instanceId: string }; readonly answer: undefined };
  /** The runtime's own: a guest rebooted, and is booted again. */
  rebootVm: { readonly args: { readonly instanceId: string }; readonly answer: undefined };
}

export type JobKind = keyof VerbTypes;

/** Jobs that the runtime gives itself: nobody can call them. */
export const OWN_JOB_KINDS = ['observeVm', 'rebootVm'] as const;

export type OwnJobKind = (typeof OWN_JOB_KINDS)[number];

/** What a caller can ask for. */
export type VerbName = Exclude<JobKind, OwnJobKind>;

/** The verbs that need a VM in one of some states: each has its row in `TRANSITIONS`. */
export type VmVerb = Exclude<VerbName, 'createVm' | 'deleteSnapshot' | 'verifySnapshot'>;

export type VerbArgs<K extends JobKind> = VerbTypes[K]['args'];
export type VerbAnswer<K extends JobKind> = VerbTypes[K]['answer'];

/** A call as data. The method of the same name does the same. */
export interface VerbCall<V extends VerbName = VerbName> {
  readonly verb: V;
  readonly args: VerbArgs<V>;
  readonly options?: OperationOptions | undefined;
}
