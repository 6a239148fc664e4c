import type { OpenOptions, ProviderFactory } from '@microvm/conformance';
import type { VmRuntime, VmSpec, VmView } from '@microvm/runtime';

/** What the part of the suite that kills processes adds to a provider's name. */
export const KILLED = 'killed at every step';

/** Members of a runtime that do something else than they should. */
export type Distortion = { -readonly [K in keyof VmRuntime]?: VmRuntime[K] | undefined };

/** One deviation from the contract, and the test of the suite that must fail for it. */
export interface PlantedFault {
  /** What is wrong. */
  readonly fault: string;
  /** Title of the group of tests, and of the test. */
  readonly caughtBy: readonly [group: string, title: string];
  readonly plant: (good: ProviderFactory) => ProviderFactory;
}

/** A runtime that is the good one but for the distorted members. */
export function distorted(good: VmRuntime, distortion: Distortion): VmRuntime {
  return new Proxy(good, {
    get(target, key) {
      if (Object.hasOwn(distortion, key)) return distortion[key as keyof Distortion];
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** Opens a runtime and does something to it. */
export type Opener = (good: ProviderFactory, options: OpenOptions) => Promise<VmRuntime>;

const originals = new WeakMap<VmRuntime, VmRuntime>();

function original(runtime: VmRuntime): VmRuntime {
  return originals.get(runtime) ?? runtime;
}

/**
 * A provider whose runtimes are distorted. Without a distortion it is a good one, through the same wrapping.
 */
export function distortingProvider(
  good: ProviderFactory,
  distort: (runtime: VmRuntime, options: OpenOptions) => Distortion = () => ({}),
): ProviderFactory {
  return openingProvider(good, async (factory, options) => {
    const runtime = await factory.open(options);
    const faulty = distorted(runtime, distort(runtime, options));
    originals.set(faulty, runtime);
    return faulty;
  });
}

/** A provider that opens its runtimes in a way of its own. */
export function openingProvider(good: ProviderFactory, open: Opener): ProviderFactory {
  return {
    ...good,
    open: (options) => open(good, options),
    endGuest: (runtime, vmId, how) => good.endGuest(original(runtime), vmId, how),
  };
}

type Distort = (runtime: VmRuntime, options: OpenOptions) => Distortion;

/** A fault in what runtimes do. */
export function inRuntime(fault: string, caughtBy: PlantedFault['caughtBy'], distort: Distort): PlantedFault {
  return { fault, caughtBy, plant: (good) => distortingProvider(good, distort) };
}

/** A fault in how runtimes are opened. */
export function inOpening(fault: string, caughtBy: PlantedFault['caughtBy'], open: Opener): PlantedFault {
  return { fault, caughtBy, plant: (good) => openingProvider(good, open) };
}

type Create = VmRuntime['createVmWithSpec'];

/** Both methods that make a VM, distorted alike. */
export function creating(create: Create): Distortion {
  return { createVm: (vmId, options) => create(vmId, {}, options), createVmWithSpec: create };
}

/** Every query that answers with a VM's view, distorted alike. */
export function viewing(good: VmRuntime, change: (view: VmView) => VmView): Distortion {
  return {
    async getVm(vmId) {
      const view = await good.getVm(vmId);
      return view === undefined ? undefined : change(view);
    },
    async listVms() {
      return (await good.listVms()).map(change);
    },
  };
}

export function without<T extends object, K extends keyof T>(value: T, key: K): Omit<T, K> {
  const { [key]: _left, ...rest } = value;
  return rest;
}

export function isRestore(spec: VmSpec): boolean {
  return spec?.restoreFrom !== undefined;
}
