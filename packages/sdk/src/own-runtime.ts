import { tmpdir } from 'node:os';
import type { CommonOptions, VmRuntime } from '@microvm/runtime';
import { DRIVERS, pickDriver, takeDriver, type DriverChoice } from './drivers.js';
import { parseOpenOptions, type DriverName, type OpenOptions } from './options.js';
import { createTemporaryState } from './temporary-state.js';

/** What the SDK decided, by the caller's options and then by the environment. */
export interface OwnDriver {
  readonly choice: DriverChoice & { readonly driver: DriverName };
  readonly options: OpenOptions;
}

/** A runtime that the SDK opened, and closes. */
export interface OwnRuntime {
  readonly runtime: VmRuntime;
  /** Lets go of the VMs and removes a temporary state directory. Idempotent. */
  readonly close: () => Promise<void>;
}

/** Decides which driver runs the VMs; opens nothing. Errors: INVALID_ARGUMENT, HOST_UNSUPPORTED. */
export async function chooseDriver(given: OpenOptions): Promise<OwnDriver> {
  const options = parseOpenOptions(given);
  const { driver, stateDir = tmpdir() } = options;
  const probe = (name: DriverName) => DRIVERS[name].probe({ stateDir });
  if (driver === undefined) return { choice: await pickDriver(probe), options };
  const askedBy = given.driver === undefined ? 'MICROVM_DRIVER' : 'the driver option';
  return { choice: { ...(await takeDriver(driver, askedBy, probe)), driver }, options };
}

/** Opens a runtime of that driver. Errors: those of the driver's factory. */
export async function openOwnRuntime({ choice, options }: OwnDriver): Promise<OwnRuntime> {
  const { driver: _, ...common } = options;
  const driver = DRIVERS[choice.driver];
  if (common.stateDir !== undefined || !driver.isReal) {
    const runtime = await driver.open(common);
    return { runtime, close: () => runtime.close() };
  }
  return openOneShot((own) =>
    driver.open({ ...common, ...own, defaults: { ...own.defaults, ...common.defaults } }),
  );
}

/** State that nobody will look for again goes with this process, and so do the VMs. */
async function openOneShot(open: (own: CommonOptions) => Promise<VmRuntime>): Promise<OwnRuntime> {
  const state = await createTemporaryState();
  try {
    const runtime = await open({ stateDir: state.path, defaults: { onOwnerDeath: 'destroy' } });
    const closeAll = async () => {
      await runtime.close();
      await state.remove();
    };
    let closing: Promise<void> | undefined;
    return { runtime, close: () => (closing ??= closeAll()) };
  } catch (error) {
    await state.remove();
    throw error;
  }
}
