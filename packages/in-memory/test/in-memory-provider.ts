import type { GuestEnding, OpenOptions, ProviderFactory } from '@microvm/conformance';
import type { Guest, VmRuntime } from '@microvm/runtime';
import {
  createFaults,
  createImages,
  createInMemoryRuntime,
  createWorld,
  type Faults,
  type World,
} from '../src/index.js';
import type { InMemoryOptions } from '../src/index.js';

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

export interface InMemoryProviderOptions extends Pick<InMemoryOptions, 'capabilities'> {
  readonly durable: boolean;
  /** VMs outlive the runtime, for the next one on the same state directory. */
  readonly isShared?: boolean;
  /** Rules that the engine broke go here. */
  readonly breaches?: string[];
}

/** What the conformance suite needs to know of this provider. */
export function inMemoryProvider(options: InMemoryProviderOptions): ProviderFactory {
  const faultsOf = new WeakMap<VmRuntime, Faults>();
  const worlds = new Map<string, World>();
  const images = createImages();
  const { durable, isShared = false, breaches = [], capabilities } = options;

  const worldOf = (stateDir: string | undefined): { world?: World } => {
    if (!isShared || stateDir === undefined) return {};
    const world = worlds.get(stateDir) ?? createWorld();
    worlds.set(stateDir, world);
    return { world };
  };

  return {
    durable,
    async open(given: OpenOptions) {
      const faults = createFaults();
      const runtime = await createInMemoryRuntime({
        ...given,
        ...worldOf(given.stateDir),
        faults,
        capabilities,
        images,
        onBreach: ({ message }) => breaches.push(message),
      });
      faultsOf.set(runtime, faults);
      return runtime;
    },
    images: { tag: async (name, { files, config }) => images.tag(name, { files, ...config }) },
    atOnce: 20,
    keepsCommands: false,
    restoresCommands: false,
    workload: { start: async (guest) => void (await count(guest)), read: count },
    async endGuest(runtime, vmId, how) {
      const faults = faultsOf.get(runtime);
      if (faults === undefined) throw new Error('not a runtime of this provider');
      await END[how](faults, vmId);
    },
  };
}
