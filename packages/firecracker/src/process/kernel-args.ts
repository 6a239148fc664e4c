import type { ResolvedVmSpec } from '@microvm/runtime';

// `reboot=k`: the keyboard controller's reset is how a guest ends its Firecracker; `panic=-1`: at once also
// after a panic. `microvm.poweroff=reboot`: there is no power-off device, the agent says farewell and resets.
// `i8042.noaux` and the others spare the search for devices that are not there; the keyboard stays:
// Ctrl-Alt-Del is how a guest without an agent is asked to halt.
const TUNED =
  'console=ttyS0 reboot=k panic=-1 quiet i8042.noaux i8042.nomux i8042.dumbkbd ' +
  'cryptomgr.notests random.trust_cpu=on microvm.poweroff=reboot microvm.channel=vsock';

/** The kernel's command line: the tuned default, what the spec adds to it, or what it puts in its place. */
export function kernelArgs(spec: Pick<ResolvedVmSpec, 'bootArgs' | 'initrdPath' | 'rootDrive'>): string {
  const given = spec.bootArgs;
  if (given !== undefined && 'replace' in given) return given.replace;
  return given === undefined ? TUNED : `${TUNED} ${given.append}`;
}
