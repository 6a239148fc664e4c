import type { CommonOptions, Guest, ImageConfig, VmRuntime, VmSpec } from '@microvm/runtime';

/** How a guest or its VMM ends without being asked to by the runtime. */
export type GuestEnding = 'power-off' | 'reboot' | 'panic' | 'kill-vmm';

/**
 * The options with which the suite opens a runtime. `onStep` must reach the engine: the suite waits in a
 * step, aborts in it, and kills the process in it.
 */
export interface OpenOptions extends CommonOptions {
  /** Made and removed by the suite; undefined when the factory is not `durable`. */
  readonly stateDir: string | undefined;
}

/**
 * A counter in the guest's memory, so that a restored guest can be told from a booted one. The suite also
 * runs `cat`, `true` and `nc -l -p PORT` in the guest.
 */
export interface GuestWorkload {
  /** Leaves a number in the guest that only grows while the guest runs. Resolves when it can be read. */
  start(guest: Guest): Promise<void>;
  read(guest: Guest): Promise<number>;
}

/** An image that the suite asks for. */
export interface SuiteImage {
  /** Texts by path, beside the programs `sh`, `cat`, `rm`, `env`, `id`, `pwd`, `df` and `echo`. */
  readonly files: Readonly<Record<string, string>>;
  readonly config: ImageConfig;
}

/** The store of images that all runtimes of a factory use. */
export interface SuiteImages {
  /** False where guests cannot mount an image: what needs one that runs is then skipped, aloud. */
  readonly boot?: boolean;
  /** Makes a name stand for an image of this description; answers with the digest of the image. */
  tag(name: string, image: SuiteImage): Promise<string>;
  /** Removes the store; called when no runtime is open any more. */
  dispose?(): Promise<void>;
}

/** A script that calls `runCrashChild` with the same `open`, started by `child_process.fork`. */
export interface ChildModule {
  /** Absolute path. */
  readonly path: string;
  /** Such as a loader for TypeScript. */
  readonly execArgv?: readonly string[];
}

/** All that the suite must know of a provider. */
export interface ProviderFactory {
  /**
   * Opens a runtime that nobody else uses. Opening a directory that was closed before stands for a new
   * process; opening one that is open must be refused.
   */
  open(options: OpenOptions): Promise<VmRuntime>;
  /** Whether runtimes get a state directory; `capabilities.durable` must agree. Default true. */
  readonly durable?: boolean;
  /** The spec of the suite's VMs, which should boot quickly. Default `{}`. */
  readonly spec?: VmSpec;
  /**
   * False where guests make no progress, as on a host whose KVM cannot run Linux: then what a guest would
   * have to do by itself is skipped, aloud. Default true.
   */
  readonly hasLiveGuests?: boolean;
  /** Whether guests have vsock's own loopback, as the default image has. Default false. */
  readonly vsockLoopback?: boolean;
  /** Whether commands go on under a VM's next owner. False where a guest is a script. Default true. */
  readonly keepsCommands?: boolean;
  /** Whether commands go on in a restored VM, as they do where a snapshot has real memory. Default true. */
  readonly restoresCommands?: boolean;
  /** Needed by `describeProvider` when `capabilities.spec.image` is true. */
  readonly images?: SuiteImages;
  /** How many VMs and calls "at once" means. Default 3. */
  readonly atOnce?: number;
  /**
   * Every deadline of the suite is multiplied by it. Default 1, made for VMs that boot in a tenth of a
   * second.
   */
  readonly deadlineFactor?: number;
  /** Needed by `describeProvider` when `capabilities.guestAgent` is true. */
  readonly workload?: GuestWorkload;
  /**
   * Makes a live VM's guest or VMM end; resolves when that was set off, the runtime need not have seen it
   * yet.
   */
  endGuest(runtime: VmRuntime, vmId: string, how: GuestEnding): Promise<void>;
  /** Needed by `describeCrashes`. */
  readonly childModule?: ChildModule;
}
