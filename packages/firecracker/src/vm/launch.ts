import { join } from 'node:path';
import { allSettledOrThrow } from '@microvm/driver-kit';
import { createCgroup, listenVsock, type VsockListener } from '@microvm/native';
import { VmRuntimeError, type Run } from '@microvm/runtime';
import { cgroupLimits } from '../host/limits.js';
import { fileSizeLimit } from '../host/file-size-limit.js';
import { requireNetns } from '../host/netns.js';
import { VMM_FILES } from '../host/paths.js';
import { stageVmm, type StageOptions } from '../host/stage.js';
import { jailsFolder } from '../host/vm-plan.js';
import { makeVmmLogs, spawnVmm } from '../process/spawn-vmm.js';
import type { FirecrackerContext } from './context.js';
import type { FirecrackerVm } from './firecracker-vm.js';
import { beginLife, FIRST_LIFE, type Life } from './life.js';
import { AGENT_PORT, LiveVm } from './live-vm.js';

export interface LaunchOptions {
  /** Whose steps are marked. */
  readonly method: 'prepare' | 'boot' | 'restore';
  readonly snapshot?: { readonly state: string; readonly memory: string };
}

/**
 * Starts the Firecracker of a VM that has none: its cgroup, the folder it works in, the process. What fails
 * leaves for `halt` what was made.
 */
export async function launch(
  context: FirecrackerContext,
  vm: FirecrackerVm,
  { method, snapshot }: LaunchOptions,
  run: Run,
): Promise<LiveVm> {
  const { stateDir, table } = context;
  const { plan, directory, vmmFolder } = vm;
  const { signal } = run;
  signal.throwIfAborted();
  await requireNetns(plan.netnsPath, vm.vmId);
  const ledger = context.metrics.of(vm);
  // The file of the life before goes.
  if (method === 'boot') await ledger.settle();
  const staging = { plan, directory, vmmFolder, snapshot, signal };
  const [life] = await allSettledOrThrow([beginFiles(staging, method !== 'boot'), makeCgroup(stateDir, vm)]);
  const listener = snapshot === undefined ? await listenForAgent(vm) : undefined;
  try {
    await run.step(`${method}:staged`);
    const live = await table.start(vm, async () => {
      const process = await spawn(context, vm);
      return new LiveVm({ vm, stateDir, process, life, listener, ledger });
    });
    await run.step(`${method}:spawned`);
    return live;
  } catch (error) {
    // A life that has begun closes it too.
    await listener?.close();
    throw error;
  }
}

async function beginFiles(staging: StageOptions, isFirst: boolean): Promise<Life> {
  const { directory, plan } = staging;
  await makeVmmLogs(directory, { uid: plan.uid, isFirst });
  // Truncate the logs before recording the new life, or the ledger counts old lines as new.
  const named = isFirst ? Promise.resolve(FIRST_LIFE) : beginLife(directory);
  const [life] = await allSettledOrThrow([named, stageVmm(staging)]);
  return life;
}

/**
 * The port is bound before boot, so that the guest's agent finds it. A VM without an agent has no vsock port
 * of ours.
 */
async function listenForAgent({ spec, plan, vmmFolder }: FirecrackerVm): Promise<VsockListener | undefined> {
  if (spec.agent === 'none') return undefined;
  const owner = plan.uid === null ? {} : { uid: plan.uid, gid: plan.uid };
  return listenVsock({ path: join(vmmFolder, VMM_FILES.vsock), port: AGENT_PORT, ...owner });
}

async function makeCgroup(stateDir: string, { spec, cgroup }: FirecrackerVm): Promise<void> {
  if (cgroup === undefined) return;
  const limits = await cgroupLimits(spec, stateDir);
  try {
    await createCgroup(cgroup, { limits });
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

function spawn({ hostFacts, stateDir }: FirecrackerContext, vm: FirecrackerVm): ReturnType<typeof spawnVmm> {
  const { uid } = vm.plan;
  const cgroup = vm.cgroupName;
  const netnsPath = vm.plan.netnsPath ?? undefined;
  const jail =
    uid === null
      ? undefined
      : {
          jailerPath: hostFacts.jailerPath ?? '',
          chrootBaseDir: join(jailsFolder(stateDir), '..'),
          uid,
          gid: uid,
          ...(cgroup === undefined ? {} : { cgroup }),
          ...(netnsPath === undefined ? {} : { netnsPath }),
        };
  return spawnVmm({
    instanceId: vm.instanceId,
    execFile: hostFacts.execFile,
    directory: vm.directory,
    jail,
    workingDirectory: vm.vmmFolder,
    cgroup: vm.cgroup,
    netnsPath,
    console: vm.spec.console,
    fileSizeBytes: fileSizeLimit({ ...vm, memSizeMib: vm.spec.memSizeMib }),
  });
}
