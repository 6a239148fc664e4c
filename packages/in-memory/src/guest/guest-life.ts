import { ScriptedErrno } from '@microvm/guest';
import {
  invalidArgument,
  untilAborted,
  VmRuntimeError,
  type GuestSettings,
  type ResolvedVmSpec,
  type VmEnding,
} from '@microvm/runtime';
import { checkOwner } from './secret-files.js';
import { KERNEL_RELEASE, GuestHandle, type GuestSurroundings } from './guest-handle.js';
import type { GuestScript } from './guest-script.js';
import { LOG_LINES, type MemoryVm } from '../driver/memory-vm.js';

const DEFAULT_BOOT_ARGS = 'console=ttyS0';

function commandLine({ bootArgs }: ResolvedVmSpec): string {
  if (bootArgs === undefined) return DEFAULT_BOOT_ARGS;
  return 'replace' in bootArgs ? bootArgs.replace : `${DEFAULT_BOOT_ARGS} ${bootArgs.append}`;
}

function kernelLines(spec: ResolvedVmSpec): string {
  const lines = [
    `Linux version ${KERNEL_RELEASE}`,
    `Command line: ${commandLine(spec)}`,
    `smp: ${spec.vcpuCount} CPU, Memory: ${spec.memSizeMib} MiB`,
  ];
  return lines.map((line) => `[    0.000000] ${line}\n`).join('');
}

export interface GuestRun {
  readonly vmId: string;
  readonly script: GuestScript;
  readonly surroundings: GuestSurroundings;
  readonly signal: AbortSignal;
}

/**
 * Resolves when the guest is ready. Errors: GUEST_UNREACHABLE when the script's boot fails; an abort rejects
 * with the signal's reason.
 */
export async function bootGuest(vm: MemoryVm, run: GuestRun): Promise<void> {
  vm.console.append(kernelLines(vm.spec));
  if (run.script.boot !== undefined) {
    const guest = new GuestHandle(vm, run.surroundings);
    const script = run.script;
    const booting = (async () => script.boot?.(guest))().catch((cause: unknown) => {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new VmRuntimeError('MICROVM_GUEST_UNREACHABLE', `boot "${run.vmId}": ${reason}`, {
        details: { vmId: run.vmId, reason },
        cause,
      });
    });
    const end = watchEnd(vm);
    try {
      await untilAborted(Promise.race([booting, end.seen]), run.signal);
    } finally {
      end.stop();
    }
  }
  if (vm.spec.agent === 'required' && vm.condition === 'booting') vm.console.append('microvm-agent: ready\n');
}

/**
 * Tells the agent of a guest that boots or goes on what it gives to commands. Errors: INVALID_ARGUMENT for an
 * owner whom the guest does not know.
 */
export function tellGuest(vm: MemoryVm, settings: GuestSettings | undefined): void {
  if (settings === undefined) return;
  try {
    for (const { owner } of settings.secrets?.give.values() ?? []) checkOwner(vm, owner);
    vm.settings.take(settings);
  } catch (error) {
    const isOwner = error instanceof ScriptedErrno && error.step === 'user';
    throw isOwner ? invalidArgument('owner', 'a user, and a group, that the guest knows') : error;
  }
}

/**
 * Asks the guest to flush. Answers whether it did so in its time; also when it ended meanwhile. An abort
 * rejects with the signal's reason.
 */
export async function flushGuest(vm: MemoryVm, run: GuestRun): Promise<boolean> {
  const { shutdownTimeoutMs } = vm.spec;
  if (shutdownTimeoutMs === 0) return false;
  const { script } = run;
  if (script.shutdown === undefined) return true;
  const guest = new GuestHandle(vm, run.surroundings);
  const flushed = (async () => script.shutdown?.(guest))().then(
    () => true,
    () => false, // a guest that fails to flush is one that has to be forced
  );
  let cancel!: () => void;
  const forced = new Promise<boolean>((resolve) => {
    cancel = run.surroundings.clock.schedule(shutdownTimeoutMs, () => resolve(false));
  });
  const end = watchEnd(vm);
  try {
    return await untilAborted(Promise.race([flushed, forced, end.seen]), run.signal);
  } finally {
    end.stop();
    cancel();
  }
}

/** The ending of a VM that was asked to shut down, or forced to. */
export function endedByRequest(vm: MemoryVm, isFlushed: boolean): VmEnding {
  if (isFlushed) vm.console.append('microvm-agent: farewell shutdown\n');
  const lastLogLines = vm.console.lastLines(LOG_LINES);
  return isFlushed
    ? { reason: 'shutdown', exitCode: 0, signal: null, lastLogLines }
    : { reason: 'killed', exitCode: null, signal: 'SIGKILL', lastLogLines };
}

/** `seen` resolves with false when the guest ends by itself. */
function watchEnd(vm: MemoryVm): { readonly seen: Promise<false>; stop(): void } {
  const watchers = (vm.watchers ??= new Set());
  let onEnd!: (value: false) => void;
  const seen = new Promise<false>((resolve) => (onEnd = resolve));
  const look = (): void => {
    if (vm.condition === 'ended') onEnd(false);
  };
  watchers.add(look);
  return { seen, stop: () => void watchers.delete(look) };
}
