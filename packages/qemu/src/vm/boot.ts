import { consoleSize, consoleTail, endedBeforeReady, untilConsole } from '@microvm/driver-kit';
import { MIB, type Run, type VmEnding, type VmRuntimeError, within } from '@microvm/runtime';
import type { StartMode } from '../process/command-line.js';
import { kernelArgs } from '../process/kernel-args.js';
import type { QemuContext } from './context.js';
import { clearLife } from './halt.js';
import { launch } from './launch.js';
import type { LiveVm } from './live-vm.js';
import type { QemuVm } from './qemu-vm.js';

const MOST_ATTEMPTS = 3;
// Longer than any operation may take: it is the operation's own deadline that ends the wait.
const NO_LIMIT_MS = 2 ** 31 - 1;
// Printed soon after the place where a guest without a tick hangs (calibrate_delay, before vfs_caches_init).
// More than a kernel says until then, however verbose.
const BOOT_BYTES = MIB;
const PAST_THE_HANG = 'Mount-cache hash table entries';

/**
 * Cold boot. Under emulation a guest can hang early in its boot on a busy host, though its clock's frequency
 * is given: an attempt that shows no sign of life before that point is killed and made again, twice at most.
 */
export async function bootVm(context: QemuContext, vm: QemuVm, run: Run): Promise<LiveVm> {
  const isEmulated = context.hostFacts.accelerator === 'tcg';
  for (let attempt = 1; ; attempt += 1) {
    const written = await consoleSize(vm.directory);
    const start = startMode(context, vm);
    const live = await launch(context, vm, { memory: { kind: 'memfd' }, start, step: 'boot:started' }, run);
    const silenceMs = isEmulated && attempt < MOST_ATTEMPTS ? context.bootSilenceMs : undefined;
    const outcome = await untilReady(live, vm, { written, silenceMs, signal: run.signal });
    if (outcome === 'hung') {
      run.progress({ step: 'boot again', done: attempt, unit: 'steps' });
      await clearLife(context, vm);
      continue;
    }
    if (outcome !== 'ready') throw await bootFailure(live, vm, outcome);
    await run.step('boot:ready');
    return live;
  }
}

function startMode({ hostFacts }: QemuContext, vm: QemuVm): StartMode {
  const { kernelPath, initrdPath } = vm.plan;
  return {
    kind: 'boot',
    kernelPath,
    kernelArgs: kernelArgs({ spec: vm.spec, accelerator: hostFacts.accelerator, tscKhz: hostFacts.tscKhz }),
    ...(initrdPath === null ? {} : { initrdPath }),
  };
}

interface ReadyOptions {
  /** Size of the console's file before this boot. */
  readonly written: number;
  readonly silenceMs: number | undefined;
  readonly signal: AbortSignal;
}

type Outcome = 'ready' | 'hung' | VmEnding;

async function untilReady(live: LiveVm, vm: QemuVm, options: ReadyOptions): Promise<Outcome> {
  const { written, silenceMs } = options;
  const over = new AbortController();
  const signal = AbortSignal.any([over.signal, options.signal]);
  const ready =
    vm.spec.agent === 'none'
      ? untilConsole(live.directory, (size) => size > written, signal)
      : live.agent.connect({ signal, timeoutMs: NO_LIMIT_MS }).then(() => undefined);
  const outcomes: Promise<Outcome>[] = [ready.then(() => 'ready'), live.ended];
  if (silenceMs !== undefined) outcomes.push(untilHung(live.directory, { written, silenceMs, signal }));
  try {
    return await within(Promise.race(outcomes), { signal: options.signal }, () => 'hung');
  } finally {
    over.abort();
    for (const outcome of outcomes) outcome.catch(() => undefined);
  }
}

/** Resolves when the guest was silent for so long, unless it got past the place where it can hang. */
async function untilHung(
  directory: string,
  { written, silenceMs, signal }: ReadyOptions & { readonly silenceMs: number },
): Promise<'hung'> {
  for (let size = -1; ;) {
    const seen = size;
    size = await consoleSize(directory);
    if (size === seen) return 'hung';
    if (await isPastTheHang(directory, written)) return new Promise(() => {});
    await within(
      untilConsole(directory, (now) => now !== size, signal),
      { signal, timeoutMs: silenceMs },
      () => undefined,
    );
  }
}

async function isPastTheHang(directory: string, from: number): Promise<boolean> {
  return (await consoleTail(directory, BOOT_BYTES, from)).includes(PAST_THE_HANG);
}

async function bootFailure(live: LiveVm, vm: QemuVm, ending: VmEnding): Promise<VmRuntimeError> {
  const { reason, exitCode, signal } = ending;
  if (reason === 'vmm-exit') return live.exited({ exitCode, signal: signal as NodeJS.Signals | null });
  return endedBeforeReady(vm, ending);
}
