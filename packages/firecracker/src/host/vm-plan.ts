import { join, resolve } from 'node:path';
import { plannedDriveSchema, type DiskTarget, type PlannedDrive } from '@microvm/driver-kit';
import { invalidArgument, type JsonObject, type ResolvedVmSpec } from '@microvm/runtime';
import { z } from 'zod';
import { EXEC_NAME } from './paths.js';

const vmPlan = z.strictObject({
  kernelPath: z.string(),
  initrdPath: z.string().nullable(),
  drives: z.array(plannedDriveSchema),
  /** The user and group of a jailed VMM; null: it runs as we do, without a jail. */
  uid: z.number().nullable(),
  /** The name of its cgroup in the folder of its owner's; null: none. */
  cgroup: z.string().nullable(),
  /** The caller's network namespace, where the interfaces' TAPs are; null: ours. */
  netnsPath: z.string().nullable(),
});

/**
 * What a VM gets of the host. Paths that the caller gave are made absolute at create: a later owner may run
 * elsewhere.
 */
export type VmPlan = Readonly<z.infer<typeof vmPlan>>;

export interface PlanInput {
  readonly instanceId: string;
  readonly spec: ResolvedVmSpec;
  readonly drives: readonly PlannedDrive[];
  readonly uid: number | null;
  /** Whether VMs get cgroups here. */
  readonly hasCgroup: boolean;
}

export function makePlan({ instanceId, spec, drives, uid, hasCgroup }: PlanInput): VmPlan {
  return {
    kernelPath: spec.kernelPath === undefined ? '' : resolve(spec.kernelPath),
    initrdPath: spec.initrdPath === undefined ? null : resolve(spec.initrdPath),
    drives: [...drives],
    uid,
    cgroup: hasCgroup ? instanceId : null,
    netnsPath: netnsOf(spec) ?? null,
  };
}

/** What `makePlan` answered when the VM was made, back from its record. */
export function readPlan(plan: JsonObject): VmPlan {
  return vmPlan.parse(plan);
}

/**
 * The place of the VM's own disks, and their owner: the disks of a jailed VMM belong to its user from the
 * start.
 */
export function diskTarget({ drives, uid }: VmPlan, folder: string): DiskTarget {
  return { drives, folder, owner: uid === null ? undefined : { uid, gid: uid } };
}

/**
 * The namespace of all the VM's interfaces: one process has one. Throws `MICROVM_INVALID_ARGUMENT` when they
 * differ.
 */
export function netnsOf(spec: Pick<ResolvedVmSpec, 'networkInterfaces'>): string | undefined {
  const paths = (spec.networkInterfaces ?? []).map(({ netnsPath }) => netnsPath);
  const other = paths.findIndex((path) => path !== paths[0]);
  if (other < 0) return paths[0];
  throw invalidArgument(
    `spec.networkInterfaces[${other}].netnsPath`,
    'the namespace of the other interfaces',
  );
}

/** The working folder of a VM's VMM: the root of its jail or, without a jail, a folder in the VM's own. */
export function vmmFolder(
  stateDir: string,
  vm: { readonly instanceId: string; readonly directory: string },
  plan: VmPlan,
): string {
  return plan.uid === null ? join(vm.directory, 'vmm') : join(jailFolder(stateDir, vm.instanceId), 'root');
}

/** All of a jail, which the jailer calls by the name of the exec file. */
export function jailFolder(stateDir: string, instanceId: string): string {
  return join(jailsFolder(stateDir), instanceId);
}

export function jailsFolder(stateDir: string): string {
  return join(stateDir, 'jail', EXEC_NAME);
}
