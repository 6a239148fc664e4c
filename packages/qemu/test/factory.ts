import { fileURLToPath } from 'node:url';
import type { GuestEnding, ProviderFactory } from '@microvm/conformance';
import { ensureDefaultImage } from '@microvm/image';
import type { Guest, VmRuntime, VmSpec } from '@microvm/runtime';
import { createQemuRuntime } from '../src/index.js';

const COUNT_FILE = '/run/count';
// Written aside and renamed: a reader never finds it empty.
const COUNTER = `n=0
while :; do
  n=$((n + 1))
  echo $n > ${COUNT_FILE}.new && mv ${COUNT_FILE}.new ${COUNT_FILE}
  usleep 50000
done`;

export async function startCounter(guest: Guest): Promise<void> {
  const script = `(${COUNTER}) > /dev/null 2>&1 < /dev/null & until [ -e ${COUNT_FILE} ]; do usleep 10000; done`;
  await guest.exec({ argv: ['sh', '-c', script] }).result;
}

export async function readCounter(guest: Guest): Promise<number> {
  return Number(await outputOf(guest, `cat ${COUNT_FILE}`));
}

export async function outputOf(guest: Guest, script: string): Promise<string> {
  const { stdout } = await guest.exec({ argv: ['sh', '-c', script] }).result;
  return stdout.toString().trim();
}

export const GUEST_ENDINGS: Readonly<Record<Exclude<GuestEnding, 'kill-vmm'>, string>> = {
  'power-off': 'poweroff',
  reboot: 'reboot',
  panic: 'echo c > /proc/sysrq-trigger',
};

export async function endGuest(runtime: VmRuntime, vmId: string, how: GuestEnding): Promise<void> {
  if (how === 'kill-vmm') {
    const pid = (await runtime.getVm(vmId))?.vmm?.pid;
    if (pid === undefined) throw new Error(`"${vmId}" has no VMM`);
    process.kill(pid, 'SIGKILL');
    return;
  }
  const guest = await runtime.guest(vmId);
  const command = guest.exec({ argv: ['sh', '-c', GUEST_ENDINGS[how]] });
  // The guest may be gone before it answers.
  await command.result.catch(() => undefined);
}

let image: Promise<VmSpec> | undefined;

/** The default image as spec fields: what a runtime finds out by itself, but once and not at each of a hundred opens. */
export function imageDefaults(): Promise<VmSpec> {
  image ??= ensureDefaultImage().then(({ kernelPath, initrdPath, dataDiskPath }) => ({
    kernelPath,
    initrdPath,
    rootDrive: { path: dataDiskPath },
  }));
  return image;
}

export const qemuFactory: ProviderFactory = {
  open: async ({ stateDir, defaults, ...options }) => {
    if (stateDir === undefined) throw new Error('the QEMU driver is durable');
    return createQemuRuntime({ ...options, stateDir, defaults: { ...(await imageDefaults()), ...defaults } });
  },
  deadlineFactor: 6,
  childModule: {
    path: fileURLToPath(new URL('./crash-child.ts', import.meta.url)),
    execArgv: ['--conditions=@microvm/source', '--import', 'tsx'],
  },
  workload: { start: startCounter, read: readCounter },
  endGuest,
};
