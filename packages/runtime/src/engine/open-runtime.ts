import type { CommonOptions } from '../contract/configuration.js';
import { invalidArgument } from '../contract/errors.js';
import type { VmEnding } from '../contract/views.js';
import { NOTHING_SWEPT, type VmRuntime } from '../contract/runtime.js';
import { systemClock, type Clock } from '../ports/clock.js';
import type { Content } from '../ports/content.js';
import type { VmDriver } from '../ports/driver.js';
import type { HostCalls } from '../ports/host-calls.js';
import type { Images } from '../ports/images.js';
import { Announcer } from './announcer.js';
import { Background } from './background.js';
import { sweepContent } from './content-use.js';
import { DirectoryStore } from './directory-store.js';
import { DriverCalls } from './driver-calls.js';
import { capabilitiesOf } from './driver-features.js';
import type { BlankDisk, EngineContext } from './engine-context.js';
import { EventHub } from './event-hub.js';
import { Fingerprints } from './fingerprints.js';
import { Fleet } from './fleet.js';
import { JobBook } from './job-book.js';
import { JobRunner } from './job-runner.js';
import { Journal } from './journal.js';
import { LifecycleEngine } from './lifecycle-engine.js';
import { recover } from './recovery.js';
import { SnapshotCatalogue } from './snapshot-catalogue.js';
import type { StateStore } from './state-store.js';
import { translateError } from './translate-error.js';
import { VerbRunner } from './verb-runner.js';
import { VolatileStore } from './volatile-store.js';

// In the place of a path, for a driver whose VMs read no files.
const NO_DISK = '';

/** What a driver's factory hands to the engine. */
export interface EngineOptions extends CommonOptions {
  readonly driver: VmDriver;
  /** Needed with `stateDir`. */
  readonly hostCalls?: HostCalls | undefined;
  /** The store of the files that VMs only read; absent for a driver whose VMs read no files. */
  readonly content?: Content | undefined;
  /** The images that VMs are made from; absent: `image` of a spec is UNSUPPORTED. */
  readonly images?: Images | undefined;
  /**
   * The path of an empty ext4 file system of a size, which the root drive of each VM with an image is a copy
   * of. Needed with `images` by a driver whose VMs read files.
   */
  readonly blankDisk?: BlankDisk | undefined;
  /** Default: the system's. */
  readonly clock?: Clock | undefined;
  /** Called when the runtime was closed, after the driver. */
  readonly onClose?: (() => Promise<void>) | undefined;
}

/**
 * Opens (and locks) the state directory, recovers what a crash left, and answers with the runtime. Without
 * `stateDir` nothing is durable. Errors: STATE_LOCKED, STATE_CORRUPT, HOST_FAILURE.
 */
export async function openRuntime(options: EngineOptions): Promise<VmRuntime> {
  const store = await openStore(options);
  try {
    return await openOn(store, options);
  } catch (error) {
    await options.driver.close();
    await store.close();
    throw translateError(error, `open "${options.stateDir ?? 'runtime'}"`);
  }
}

async function openStore({ stateDir, hostCalls }: EngineOptions): Promise<StateStore> {
  if (stateDir === undefined) return new VolatileStore();
  if (hostCalls === undefined) throw invalidArgument('hostCalls', 'the calls of the host, beside stateDir');
  try {
    return await DirectoryStore.open(stateDir, hostCalls);
  } catch (error) {
    throw translateError(error, `open "${stateDir}"`);
  }
}

async function openOn(store: StateStore, options: EngineOptions): Promise<VmRuntime> {
  const { driver, content } = options;
  const ofContent = (await content?.open()) ?? NOTHING_SWEPT;
  const loaded = await store.load();
  const hub = new EventHub();
  const background = new Background();
  const context = contextOf(store, options, { hub, background });
  const runner = new JobRunner({
    book: context.book,
    store,
    hub,
    clock: context.clock,
    concurrency: options.concurrency ?? 64,
    operationTimeoutMs: options.operationTimeoutMs ?? 120_000,
  });
  const verbs = new VerbRunner(context, runner);
  // Ends that are seen during recovery wait here until recovery is done.
  const early: [instanceId: string, ending: VmEnding][] = [];
  let onEnded = (instanceId: string, ending: VmEnding): void => void early.push([instanceId, ending]);
  const known = loaded.records.filter(({ state }) => state !== 'destroyed');
  const ofDriver = await driver.open({ ended: (instanceId, ending) => onEnded(instanceId, ending) }, known);
  const recovery = await recover(context, loaded, [ofContent, ofDriver]);
  await sweepContent(context);
  const { onClose } = options;
  const engine = new LifecycleEngine({ context, runner, verbs, hub, background, recovery, onClose });
  onEnded = (instanceId, ending) => verbs.observer.ended(instanceId, ending);
  for (const [instanceId, ending] of early) onEnded(instanceId, ending);
  return engine;
}

function contextOf(
  store: StateStore,
  options: EngineOptions,
  { hub, background }: { readonly hub: EventHub; readonly background: Background },
): EngineContext {
  const { driver, hostCalls, content, images, onStep, clock = systemClock } = options;
  const announcer = new Announcer(hub, clock);
  const book = new JobBook({
    historyLimit: options.jobHistoryLimit ?? 8,
    retentionMs: options.idempotencyRetentionMs ?? 86_400_000,
    clock,
    onDropped: (jobId) => background.add(`remove job ${jobId}`, store.removeJob(jobId)),
  });
  const abortGraceMs = options.abortGraceMs ?? 5_000;
  return {
    driver,
    capabilities: capabilitiesOf(driver, { isDurable: store.isDurable, hasImages: images !== undefined }),
    calls: new DriverCalls({ driver, store, content, clock, abortGraceMs, onStep }),
    journal: new Journal({ store, book, announcer, clock, onStep }),
    announcer,
    fleet: new Fleet(),
    catalogue: new SnapshotCatalogue(store, hostCalls),
    store,
    content,
    images,
    blankDisk: options.blankDisk ?? (async () => NO_DISK),
    book,
    clock,
    fingerprints: new Fingerprints(),
    defaults: options.defaults ?? {},
  };
}
