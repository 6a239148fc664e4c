import type { CommonOptions, VmRuntime } from '@microvm/runtime';
import { DRIVERS, openBestDriver, openDriver, type DriverChoice } from './drivers.js';
import { parseOpenOptions, type DriverName, type OpenOptions } from './options.js';
import { createTemporaryState, type TemporaryState } from './temporary-state.js';

/** A runtime that the SDK opened, and closes. */
export interface OwnRuntime {
  readonly runtime: VmRuntime;
  readonly choice: DriverChoice;
  /** Lets go of the VMs and removes a temporary state directory. Idempotent. */
  readonly close: () => Promise<void>;
}

/** Opens a runtime by the caller's options, then by the environment. */
export async function openOwnRuntime(given: OpenOptions): Promise<OwnRuntime> {
  const options = parseOpenOptions(given);
  const temporary = new Map<DriverName, TemporaryState>();
  const open = (driver: DriverName) => openWithState(driver, options, temporary);
  const { driver } = options;
  const askedBy = given.driver === undefined ? 'MICROVM_DRIVER' : 'the driver option';
  try {
    const { runtime, choice } = await (driver === undefined
      ? openBestDriver(open)
      : openDriver(driver, askedBy, open));
    for (const [name, state] of temporary) if (name !== choice.driver) await state.remove();
    const close = closeOnce(runtime, temporary.get(choice.driver as DriverName));
    return { runtime, choice, close };
  } catch (error) {
    for (const state of temporary.values()) await state.remove();
    throw error;
  }
}

async function openWithState(
  driver: DriverName,
  options: OpenOptions,
  temporary: Map<DriverName, TemporaryState>,
): Promise<VmRuntime> {
  const { driver: _, ...common } = options;
  if (common.stateDir !== undefined || !DRIVERS[driver].isReal) return DRIVERS[driver].open(common);
  const state = await createTemporaryState();
  temporary.set(driver, state);
  const oneShot: CommonOptions = {
    ...common,
    stateDir: state.path,
    defaults: { onOwnerDeath: 'destroy', ...common.defaults },
  };
  return DRIVERS[driver].open(oneShot);
}

function closeOnce(runtime: VmRuntime, state: TemporaryState | undefined): () => Promise<void> {
  let closing: Promise<void> | undefined;
  async function close(): Promise<void> {
    await runtime.close();
    await state?.remove();
  }
  return () => (closing ??= close());
}
