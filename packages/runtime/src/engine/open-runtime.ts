import type { CommonOptions } from '../contract/configuration.js';
import type { VmRuntime } from '../contract/runtime.js';
import type { Clock } from '../driver/clock.js';
import type { VmDriver } from '../driver/driver.js';
import type { Host } from '../driver/host.js';

/** What a driver's factory hands to the engine. */
export interface EngineOptions extends CommonOptions {
  readonly driver: VmDriver;
  /** Needed with `stateDir`. */
  readonly host?: Host;
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Called when the runtime was closed, after the driver. */
  readonly onClose?: () => Promise<void>;
}

/**
 * Opens (and locks) the state directory, recovers what a crash left, and answers with the runtime. Without `stateDir` nothing is durable.
 * Errors: STATE_LOCKED, STATE_CORRUPT, HOST_FAILURE.
 */
export function openRuntime(_options: EngineOptions): Promise<VmRuntime> {
  return Promise.reject(new Error('the engine is being written'));
}
