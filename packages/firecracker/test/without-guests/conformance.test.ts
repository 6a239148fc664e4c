import { describeProvider, type OpenOptions, type ProviderFactory } from '@microvm/conformance';
import type { VmRuntime } from '@microvm/runtime';
import { guestlessFactory } from './guestless-factory.js';

/**
 * Its VMs have no agent here, so the suite must take the runtime for one that reaches none: then it asks no
 * guest for anything.
 */
async function openWithoutAgent(options: OpenOptions): Promise<VmRuntime> {
  const runtime = await guestlessFactory.open(options);
  const capabilities = Object.freeze({ ...runtime.capabilities, guestAgent: false });
  return new Proxy(runtime, {
    get(target, name) {
      if (name === 'capabilities') return capabilities;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

const factory: ProviderFactory = { ...guestlessFactory, open: openWithoutAgent };

// Without real binaries the suite says so and counts as skipped.
describeProvider('firecracker, on the real binary, without guests', factory);
