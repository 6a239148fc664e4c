import { join } from 'node:path';
import { folderOf, together } from '@microvm/driver-kit';
import { createCgroup, listenVsock, type VsockListener } from '@microvm/native';
import { VmRuntimeError, type DriverVm, type Run } from '@microvm/runtime';
import { cgroupLimits } from '../host/limits.js';
import { VMM_FILES } from '../host/paths.js';
import { stageVmm, type StageOptions } from '../host/stage.js';
import { jailFolder, jailsFolder, readPlan, vmmFolder, type VmPlan } from '../host/vm-plan.js';
import { makeVmmLogs, spawnVmm } from '../process/spawn-vmm.js';
import type { FirecrackerContext } from './context.js';
import { beginLife, FIRST_LIFE, type Life } from './life.js';
import { AGENT_PORT, LiveVm } from './live-vm.js';

export interface LaunchOptions {
  /** Whose steps are marked. */
  readonly method: 'prepare' | 'boot' | 'restore';
  readonly snapshot?: { readonly state: string; readonly memory: string };
}

/**
 * Starts the Firecracker of a VM that has none: its cgroup, the folder it works in, the process. What fails leaves for `halt` what was
 * made.
 */
export async function launch(
  context: FirecrackerContext,
  vm: DriverVm,
  { method, snapshot }: LaunchOptions,
  run: Run,
): Promise<LiveVm> {
  const { stateDir, table, ownerDeath, sharedFiles } = context;
  const { signal } = run;
  const directory = folderOf(vm);
  const plan = readPlan(vm.plan);
  const folder = vmmFolder(stateDir, { instanceId: vm.instanceId, directory }, plan);
  const isOwned = vm.spec.onOwnerDeath === 'destroy';
  if (isOwned) await ownerDeath.ready();
  signal.throwIfAborted();
  const ledger = context.metrics.of(vm);
  // The file of the life before goes.
  if (method === 'boot') await ledger.settle();
  const staging = { plan, directory, vmmFolder: folder, snapshot, sharedFiles, signal };
  const [life] = await together([beginFiles(staging, method !== 'boot'), makeCgroup(context, vm, plan)]);
  const listener = snapshot === undefined ? await listenForAgent(vm, plan, folder) : undefined;
  await run.step(`${method}:staged`);
  const live = await table.start(vm.instanceId, async () => {
    const process = await spawn(context, vm, plan, folder);
    const cgroup = context.cgroups.pathOf(plan);
    return new LiveVm({ vm, directory, vmmFolder: folder, process, life, listener, ledger, cgroup });
  });
  if (isOwned) await watchOwner(context, live, vm);
  await run.step(`${method}:spawned`);
  return live;
}

/** From when it resolves, the VMM ends with this process, and all that its VM has on the host goes. */
export async function watchOwner(
  { ownerDeath, stateDir, cgroups }: FirecrackerContext,
  { identity }: LiveVm,
  vm: DriverVm,
): Promise<void> {
  const plan = readPlan(vm.plan);
  const cgroup = cgroups.pathOf(plan);
  await ownerDeath.add(
    identity,
    ...(plan.uid === null ? [] : [jailFolder(stateDir, vm.instanceId)]),
    ...(cgroup === undefined ? [] : [cgroup]),
    folderOf(vm),
  );
}

async function beginFiles(staging: StageOptions, isFirst: boolean): Promise<Life> {
  const { directory, plan } = staging;
  await makeVmmLogs(directory, { uid: plan.uid, isFirst });
  // Its name comes behind its empty logs: the ledger would take what is in them for its lines.
  const named = isFirst ? Promise.resolve(FIRST_LIFE) : beginLife(directory);
  const [life] = await together([named, stageVmm(staging)]);
  return life;
}

/** Bound before boot, so that the guest's agent finds it; a VM without one has no vsock port of ours. */
async function listenForAgent(
  vm: DriverVm,
  { uid }: VmPlan,
  folder: string,
): Promise<VsockListener | undefined> {
  if (vm.spec.agent === 'none') return undefined;
  const owner = uid === null ? {} : { uid, gid: uid };
  return listenVsock({ path: join(folder, VMM_FILES.vsock), port: AGENT_PORT, ...owner });
}

async function makeCgroup(
  { cgroups, stateDir }: FirecrackerContext,
  vm: DriverVm,
  plan: VmPlan,
): Promise<void> {
  const path = cgroups.pathOf(plan);
  if (path === undefined) return;
  const limits = await cgroupLimits(vm.spec, stateDir);
  try {
    await createCgroup(path, { limits });
  } catch (error) {
    const { code, object } = error as { readonly code?: string; readonly object?: string };
    if (code !== 'ENOTSUP' && code !== 'EACCES' && code !== 'EBUSY') throw error;
    throw limitUnsupported(object ?? 'cgroup', error as Error);
  }
}

function limitUnsupported(controller: string, cause: Error): VmRuntimeError {
  const message = `limit the VM: the host's cgroup controller "${controller}" is not to be had: ${cause.message}`;
  return new VmRuntimeError('MICROVM_HOST_UNSUPPORTED', message, {
    details: { findings: [`cgroup-controller-${controller}`] },
    cause,
    remedy: 'leave `limits` out, or delegate the controller to this process (cgroup.subtree_control)',
  });
}

function spawn(
  { host, stateDir, cgroups }: FirecrackerContext,
  vm: DriverVm,
  plan: VmPlan,
  folder: string,
): ReturnType<typeof spawnVmm> {
  const { uid } = plan;
  const cgroup = cgroups.nameOf(plan);
  const netnsPath = plan.netnsPath ?? undefined;
  const jail =
    uid === null
      ? undefined
      : {
          jailerPath: host.jailerPath ?? '',
          chrootBaseDir: join(jailsFolder(stateDir), '..'),
          uid,
          gid: uid,
          ...(cgroup === undefined ? {} : { cgroup }),
          ...(netnsPath === undefined ? {} : { netnsPath }),
        };
  return spawnVmm({
    instanceId: vm.instanceId,
    execFile: host.execFile,
    directory: folderOf(vm),
    jail,
    workingDirectory: folder,
    cgroup: cgroups.pathOf(plan),
    netnsPath,
    console: vm.spec.console,
  });
}
