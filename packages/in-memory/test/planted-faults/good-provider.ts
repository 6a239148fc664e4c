import type { GuestEnding, ProviderFactory } from '@microvm/conformance';
import { createFaults, createInMemoryRuntime, type Faults } from '@microvm/in-memory';
import type { Guest, VmRuntime } from '@microvm/runtime';

async function count(guest: Guest): Promise<number> {
  const { stdout } = await guest.exec({ argv: ['counter'], input: '' }).result;
  return Number(stdout.toString('utf8'));
}

const END: Readonly<Record<GuestEnding, (faults: Faults, vmId: string) => Promise<void>>> = {
  'power-off': (faults, vmId) => faults.guestPowersOff(vmId),
  reboot: (faults, vmId) => faults.guestReboots(vmId),
  panic: (faults, vmId) => faults.guestPanics(vmId),
  'kill-vmm': (faults, vmId) => faults.vmmDies(vmId),
};

/** The in-memory provider without a fault: what the faulty ones are made from. */
export function goodProvider(): ProviderFactory {
  const faultsOf = new WeakMap<VmRuntime, Faults>();
  return {
    async open(options) {
      const faults = createFaults();
      const runtime = await createInMemoryRuntime({
        ...options,
        faults,
        capabilities: { guestAgent: false },
      });
      faultsOf.set(runtime, faults);
      return runtime;
    },
    atOnce: 20,
    workload: { start: async (guest) => void (await count(guest)), read: count },
    async endGuest(runtime, vmId, how) {
      const faults = faultsOf.get(runtime);
      if (faults === undefined) throw new Error('not a runtime of this provider');
      await END[how](faults, vmId);
    },
  };
}
