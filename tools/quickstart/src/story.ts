import type { Microvm, Snapshot, Vm } from '@microvm/sdk';
import { consoleLines } from './console-lines.js';
import { readCounter, startCounter, waitForCounter } from './counter.js';
import { formatBytes, formatMs } from './format.js';
import type { Screen } from './screen.js';

export interface StoryContext {
  readonly screen: Screen;
  readonly microvm: Microvm;
  readonly signal: AbortSignal;
  /** Every VM that there was, for the look at what is left. */
  readonly instanceIds: string[];
}

/** A snapshot, and what the counter was at a little before it. */
interface Counted {
  readonly snapshot: Snapshot;
  readonly counter: number;
}

const MEM_SIZE_MIB = 128;
const COUNT_BEFORE_SNAPSHOT = 10;
const COMPUTATION =
  'awk \'BEGIN { for (n = 2; n < 2000; n++) { p = 1; for (d = 2; d * d <= n && p; d++) if (n % d == 0) p = 0; k += p } print k, "primes below 2000" }\'';

export async function timed<T>(work: Promise<T>): Promise<{ readonly value: T; readonly ms: number }> {
  const startedAt = performance.now();
  const value = await work;
  return { value, ms: performance.now() - startedAt };
}

/** Creates a VM and boots it, with its serial console as it speaks. */
export async function bootVm({ screen, microvm, signal, instanceIds }: StoryContext): Promise<Vm> {
  screen.chapter('Boot, with the guest’s serial console');
  const startedAt = performance.now();
  const vm = await microvm.create(
    // `quiet` is our default; here one wants to see the kernel come up.
    { memSizeMib: MEM_SIZE_MIB, start: false, bootArgs: { append: 'loglevel=6' } },
    { signal },
  );
  instanceIds.push(vm.instanceId);
  const booted = new AbortController();
  const shown = showConsole(vm, screen, booted.signal);
  try {
    await vm.start({ signal });
  } finally {
    booted.abort();
    await shown;
  }
  screen.done(
    `"${vm.vmId}" runs and its agent answers, ${formatMs(performance.now() - startedAt)} after the call`,
  );
  return vm;
}

async function showConsole(vm: Vm, screen: Screen, signal: AbortSignal): Promise<void> {
  try {
    for await (const line of consoleLines(vm.console({ follow: true, signal }))) screen.console(line);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** Shows two commands with their output. */
export async function runCommands({ screen, signal }: StoryContext, vm: Vm): Promise<void> {
  screen.chapter('Commands in the guest');
  for (const command of ['uname -a', COMPUTATION]) {
    screen.command(command);
    const { value, ms } = await timed(vm.exec(command, { signal, throwOnError: true }));
    screen.output(value.stdout);
    screen.detail(`exit code ${String(value.exitCode)} after ${formatMs(ms)}`);
  }
}

/** Starts the counter, and takes a snapshot of memory and disks while it counts. */
export async function takeSnapshot({ screen, signal }: StoryContext, vm: Vm): Promise<Counted> {
  screen.chapter('Snapshot of the running VM');
  screen.command(await startCounter(vm, signal));
  const counter = await waitForCounter(vm, COUNT_BEFORE_SNAPSHOT, signal);
  screen.output(`the counter, which lives in the guest’s memory, is at ${String(counter)}`);
  const { value: snapshot, ms } = await timed(vm.snapshot('warm', { signal }));
  const { pausedMs, sizeBytes, kind, diskCopy } = snapshot.view;
  const disks = diskCopy === 'none' ? 'no disks' : `disks by ${diskCopy}`;
  screen.done(`"${snapshot.name}" (${kind}, ${disks}) published after ${formatMs(ms)}`);
  screen.detail(
    `the guest stood still for ${formatMs(pausedMs)}; ${formatBytes(sizeBytes)} on disk, of ${String(MEM_SIZE_MIB)} MiB guest memory`,
  );
  return { snapshot, counter };
}

/** Restores two VMs at once, and shows that all three count on, each by itself. */
export async function restoreTwo(
  context: StoryContext,
  first: Vm,
  { snapshot, counter }: Counted,
): Promise<readonly [Vm, Vm]> {
  const { screen, signal, instanceIds } = context;
  screen.chapter('Two VMs from the snapshot, while the first lives');
  const restore = (vmId: string) => timed(snapshot.restore({ vmId }, { signal }));
  const restored = await Promise.all([restore('clone-1'), restore('clone-2')]);
  instanceIds.push(...restored.map(({ value }) => value.instanceId));
  for (const { value, ms } of restored)
    screen.done(`"${value.vmId}" goes on, ${formatMs(ms)} after the call`);
  const [one, two] = [restored[0].value, restored[1].value];
  await showCounters(context, [first, one, two], counter);
  return [one, two];
}

/**
 * Two looks at each counter. One that began anew, or stands still, is an error: then the memory was not what
 * was restored.
 */
async function showCounters(
  { screen, signal }: StoryContext,
  vms: readonly Vm[],
  atSnapshot: number,
): Promise<void> {
  screen.line(`counter in guest memory (before the snapshot: ${String(atSnapshot)}):`);
  const before = await Promise.all(vms.map((vm) => readCounter(vm, signal)));
  const after = await Promise.all(
    vms.map((vm, index) => waitForCounter(vm, (before[index] ?? 0) + 5, signal)),
  );
  for (const [index, vm] of vms.entries()) {
    const [from = 0, to = 0] = [before[index], after[index]];
    if (from < atSnapshot || to <= from) {
      throw new Error(`the counter of "${vm.vmId}" went from ${String(from)} to ${String(to)}`);
    }
    screen.line(`  ${vm.vmId.padEnd(20)} ${String(from).padStart(5)} → ${String(to)}`);
  }
}

/** Hands a restored VM over to a tenant, and ends the first one as one should. */
export async function renameAndStop({ screen, signal }: StoryContext, vm: Vm, clone: Vm): Promise<void> {
  screen.chapter('Rename, stop');
  const oldId = clone.vmId;
  const countBefore = await readCounter(clone, signal);
  const rename = await timed(clone.rename('tenant-7', { signal }));
  const countAfter = await waitForCounter(clone, countBefore, signal);
  screen.done(
    `"${oldId}" is "${clone.vmId}" after ${formatMs(rename.ms)}, and counts on: ${String(countBefore)} → ${String(countAfter)}`,
  );
  const { value: view, ms } = await timed(vm.stop({ signal }));
  if (view.stop !== 'graceful')
    throw new Error(`stop "${vm.vmId}": it was ${view.stop ?? 'not a stop'}, not graceful`);
  screen.done(
    `"${vm.vmId}" is ${view.state} after ${formatMs(ms)}: the guest flushed and powered off by itself`,
  );
}

/** Removes everything there was. */
export async function destroyAll(
  { screen }: StoryContext,
  vms: readonly Vm[],
  snapshot: Snapshot,
): Promise<void> {
  screen.chapter('Destroy');
  const { ms } = await timed(Promise.all(vms.map((vm) => vm.destroy())));
  screen.done(`${vms.map((vm) => `"${vm.vmId}"`).join(', ')} destroyed after ${formatMs(ms)}`);
  await snapshot.delete();
  screen.done(`snapshot "${snapshot.name}" deleted`);
}
