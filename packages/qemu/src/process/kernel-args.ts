import type { ResolvedVmSpec } from '@microvm/runtime';
import type { Accelerator } from '../host/host-facts.js';

// `reboot=t`: the machine has no keyboard controller to reset it. `panic=-1`: a kernel without the pvpanic
// module ends too. `cryptomgr.notests`, `random.trust_cpu=on`: a tenth of the boot time under emulation.
const TUNED = 'console=ttyS0 reboot=t panic=-1 cryptomgr.notests random.trust_cpu=on';

export interface KernelArgsInput {
  readonly spec: Pick<ResolvedVmSpec, 'bootArgs' | 'initrdPath' | 'rootDrive'>;
  readonly accelerator: Accelerator;
  readonly tscKhz: number | undefined;
}

/**
 * The kernel's command line. An emulated guest calibrates its clock, which can fail on a busy host; the
 * kernel then waits for ever for a tick (about one boot in ten). The host's frequency makes the calibration
 * needless. Nor may the kernel judge its counter, which is the host's, by ticks that a busy host delays: it
 * would take the ticks for its clock, which goes slow (seen in 21 of 48 boots under load). Both are facts of
 * the host and not a choice. So they are also added to arguments that replace ours, unless those arguments
 * name them.
 */
export function kernelArgs({ spec, accelerator, tscKhz }: KernelArgsInput): string {
  const given = spec.bootArgs;
  const base = given !== undefined && 'replace' in given ? [given.replace] : tuned(spec);
  const appended = given !== undefined && 'append' in given ? [given.append] : [];
  const chosen = [...base, ...appended].join(' ');
  if (accelerator !== 'tcg' || tscKhz === undefined) return chosen;
  const facts = { tsc_early_khz: tscKhz, tsc: 'reliable' };
  const missing = Object.entries(facts).filter(([name]) => !` ${chosen}`.includes(` ${name}=`));
  return [...missing.map(([name, value]) => `${name}=${value}`), chosen].join(' ').trimEnd();
}

function tuned(spec: KernelArgsInput['spec']): string[] {
  // With an initramfs it is that which mounts the disks.
  if (spec.initrdPath !== undefined || spec.rootDrive === undefined) return [TUNED];
  const isReadOnly = spec.rootDrive.readOnly === true || spec.rootDrive.mode === 'shared';
  return [TUNED, `root=/dev/vda ${isReadOnly ? 'ro' : 'rw'}`];
}
