import type { ProviderFixture } from './fixture.js';
import { registerAborts } from './suites/aborts.js';
import { registerCapabilities } from './suites/capabilities.js';
import { registerCheckOrder } from './suites/check-order.js';
import { registerClosing } from './suites/closing.js';
import { registerCommands } from './suites/commands.js';
import { registerConcurrency } from './suites/concurrency.js';
import { registerConnections } from './suites/connections.js';
import { registerCorruption } from './suites/corruption.js';
import { registerDeadlines } from './suites/deadlines.js';
import { registerDispatch } from './suites/dispatch.js';
import { registerDurability } from './suites/durability.js';
import { registerEndings } from './suites/endings.js';
import { registerEnvironment } from './suites/environment.js';
import { registerEvents } from './suites/events.js';
import { registerFiles } from './suites/files.js';
import { registerGuest } from './suites/guest.js';
import { registerIdempotency } from './suites/idempotency.js';
import { registerIds } from './suites/ids.js';
import { registerImages } from './suites/images.js';
import { registerJobs } from './suites/jobs.js';
import { registerLeaks } from './suites/leaks.js';
import { registerListeners } from './suites/listeners.js';
import { registerMetrics } from './suites/metrics.js';
import { registerOptions } from './suites/options.js';
import { registerQueries } from './suites/queries.js';
import { registerRename } from './suites/rename.js';
import { registerRestore } from './suites/restore.js';
import { registerSecrets } from './suites/secrets.js';
import { registerSnapshots } from './suites/snapshots.js';
import { registerSpecs } from './suites/specs.js';
import { registerTransitions } from './suites/transitions.js';

/** Every subject of the suite; each registers its tests. */
export const SUITES: readonly ((fixture: ProviderFixture) => void)[] = [
  registerTransitions,
  registerIds,
  registerSpecs,
  registerOptions,
  registerDispatch,
  registerCheckOrder,
  registerConcurrency,
  registerIdempotency,
  registerAborts,
  registerDeadlines,
  registerJobs,
  registerEvents,
  registerQueries,
  registerMetrics,
  registerSnapshots,
  registerRestore,
  registerRename,
  registerEndings,
  registerGuest,
  registerCommands,
  registerConnections,
  registerFiles,
  registerEnvironment,
  registerImages,
  registerListeners,
  registerSecrets,
  registerCapabilities,
  registerDurability,
  registerCorruption,
  registerClosing,
  registerLeaks,
];
