import { endingOfGone, ensureThawed, folderOf, lastLogLines, reasonFromConsole } from '@microvm/driver-kit';
import { watchProcess } from '@microvm/native';
import type { Adoption, DriverVm, Run, VmEnding } from '@microvm/runtime';
import { vmmsOf } from '../process/find-vmm.js';
import { reportEnd, type QemuContext } from './context.js';
import { LiveVm } from './live-vm.js';
import { cancelMigration } from './migration.js';

const STATUS_TIMEOUT_MS = 2000;

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
  if (status === 'running') await ensureThawed(live.agent, { vm, signal: run.signal });
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
