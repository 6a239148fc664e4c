import { watchProcess } from '@microvm/native';
import type { Adoption, DriverVm, Run, VmEnding } from '@microvm/runtime';
import { lastLogLines } from '../host/log-tail.js';
import { vmmsOf } from '../process/find-vmm.js';
import { folderOf, reportEnd, type QemuContext } from './context.js';
import { reasonFromConsole } from './ending-watch.js';
import { LiveVm } from './live-vm.js';
import { cancelMigration } from './migration.js';
import { thaw } from './pause.js';
import { within } from './within.js';

const STATUS_TIMEOUT_MS = 2000;
const THAW_TIMEOUT_MS = 2000;

/** Finds out what became of a VM, in this process or an earlier one, and takes it over where it lives. */
export async function adoptVm(context: QemuContext, vm: DriverVm, run: Run): Promise<Adoption> {
  const live = context.table.get(vm.instanceId) ?? (await takeOver(context, vm, run));
  if (live === undefined) return { state: 'ended', ending: await endingOfGone(folderOf(vm)) };
  if (live.hasEnded) return endedBy(live, await live.ended);
  const status = await live.status({ signal: run.signal, timeoutMs: STATUS_TIMEOUT_MS });
  const reason = await endingBehind(status, live.directory);
  if (reason !== undefined) {
    const lastLines = await lastLogLines(live.directory);
    return endedBy(live, { reason, exitCode: null, signal: null, lastLogLines: lastLines });
  }
  if (status === 'running') await ensureThawed(live, vm, run.signal);
  else await cancelMigration(live);
  reportEnd(context, live);
  return { state: status === 'running' ? 'running' : 'paused', vmm: live.identity };
}

async function takeOver(context: QemuContext, vm: DriverVm, run: Run): Promise<LiveVm | undefined> {
  const [identity] = await vmmsOf(vm.instanceId, vm.vmm);
  if (identity === undefined) return undefined;
  const directory = folderOf(vm);
  const live = await context.table.start(vm.instanceId, () =>
    Promise.resolve(new LiveVm(vm, directory, watchProcess(identity))),
  );
  // One whose monitor does not answer is watched all the same.
  reportEnd(context, live);
  if (vm.spec.onOwnerDeath === 'destroy') await context.ownerDeath.add(identity, directory);
  await live.connect(run.signal);
  return live;
}

function endedBy(live: LiveVm, ending: VmEnding): Adoption {
  live.expectEnd();
  return { state: 'ended', ending };
}

/** How a guest ended whose QEMU is still there; undefined when it did not. */
async function endingBehind(status: string, directory: string): Promise<VmEnding['reason'] | undefined> {
  switch (status) {
    case 'guest-panicked':
      return 'panic';
    case 'shutdown': {
      // QEMU does not keep whether it was a reset or a power-off; the agent's farewell on the console tells.
      const said = await reasonFromConsole(directory);
      return said === 'shutdown' || said === undefined ? 'power-off' : said;
    }
    case 'internal-error':
      return 'vmm-exit';
    // A restore that was broken off: there is no guest in it.
    case 'inmigrate':
      return 'lost';
    default:
      return undefined;
  }
}

/** A pause that was broken off in the middle leaves a workload frozen in a guest that runs. */
async function ensureThawed(live: LiveVm, vm: DriverVm, signal: AbortSignal): Promise<void> {
  if (vm.spec.agent === 'none') return;
  const look = async (): Promise<void> => {
    const agent = await live.agent.connect({ signal, timeoutMs: THAW_TIMEOUT_MS });
    const { isFrozen } = await agent.ping({ signal, timeoutMs: THAW_TIMEOUT_MS });
    if (isFrozen) await thaw(live, 'pause', { vm, signal });
  };
  // A guest that does not answer is running all the same, as far as anybody can tell.
  const given = look().catch(() => undefined);
  await within(given, { signal, timeoutMs: THAW_TIMEOUT_MS }, () => undefined);
}

/** Of a QEMU that is gone: its guest may have said on its console how it ended before. */
async function endingOfGone(directory: string): Promise<VmEnding> {
  const ending: VmEnding = { reason: 'lost', exitCode: 'unknown', signal: null, lastLogLines: [] };
  try {
    const reason = (await reasonFromConsole(directory)) ?? ending.reason;
    return { ...ending, reason, lastLogLines: await lastLogLines(directory) };
  } catch {
    // A console that cannot be read says nothing.
    return ending;
  }
}
