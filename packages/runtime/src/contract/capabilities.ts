/** Spec features that a driver may lack. Asking for one it lacks is `MICROVM_UNSUPPORTED`. */
export interface SpecFeatures {
  readonly initrd: boolean;
  readonly rootDrive: boolean;
  /** VMs are made from images; the runtime has a store of them. */
  readonly image: boolean;
  readonly extraDrives: boolean;
  readonly rateLimiters: boolean;
  /** Caches and I/O engines of drives can be chosen. */
  readonly driveTuning: boolean;
  readonly smt: boolean;
  readonly cpuTemplate: boolean;
  readonly trackDirtyPages: boolean;
  readonly hugePages: boolean;
  readonly networkInterfaces: boolean;
  readonly egressRules: boolean;
  readonly portForwards: boolean;
  readonly vsock: boolean;
  readonly balloon: boolean;
  readonly entropy: boolean;
  readonly mmds: boolean;
  readonly resourceLimits: boolean;
  readonly jail: boolean;
  /** The console can be thrown away. */
  readonly consoleSwitch: boolean;
}

/** What a runtime can do. Every boolean is false unless the driver says otherwise. */
export interface Capabilities {
  /** `pauseVm`, `resumeVm`, and `startVm` of a paused VM. */
  readonly pause: boolean;
  /** `snapshotVm` of a running or paused VM captures its memory. */
  readonly memorySnapshot: boolean;
  /** `snapshotVm` of a created, stopped or crashed VM captures its disks. */
  readonly diskSnapshot: boolean;
  readonly rename: boolean;
  /** Any number of VMs restored from one snapshot live at once. */
  readonly concurrentRestores: boolean;
  readonly networkOverrides: boolean;
  /** `guest()` reaches an agent in the guest. */
  readonly guestAgent: boolean;
  readonly console: boolean;
  /** `metricsVm` answers with what the driver knows. */
  readonly metrics: boolean;
  /** The state survives the process: there is a state directory. */
  readonly durable: boolean;
  /** Living VMs are taken over by the next process that opens the state directory. */
  readonly adoption: boolean;
  readonly ownerDeathWatcher: boolean;
  readonly spec: SpecFeatures;
  readonly limits: {
    readonly maxVcpuCount: number;
    readonly maxMemSizeMib: number;
  };
}

const NO_FEATURES: SpecFeatures = {
  initrd: false,
  rootDrive: false,
  image: false,
  extraDrives: false,
  rateLimiters: false,
  driveTuning: false,
  smt: false,
  cpuTemplate: false,
  trackDirtyPages: false,
  hugePages: false,
  networkInterfaces: false,
  egressRules: false,
  portForwards: false,
  vsock: false,
  balloon: false,
  entropy: false,
  mmds: false,
  resourceLimits: false,
  jail: false,
  consoleSwitch: false,
};

type CapabilitiesInit = Partial<Omit<Capabilities, 'spec' | 'limits'>> & {
  readonly spec?: Partial<SpecFeatures>;
  readonly limits: Capabilities['limits'];
};

/** Fills what is not named with false. */
export function defineCapabilities(init: CapabilitiesInit): Capabilities {
  return Object.freeze({
    pause: false,
    memorySnapshot: false,
    diskSnapshot: false,
    rename: false,
    concurrentRestores: false,
    networkOverrides: false,
    guestAgent: false,
    console: false,
    metrics: false,
    durable: false,
    adoption: false,
    ownerDeathWatcher: false,
    ...init,
    spec: Object.freeze({ ...NO_FEATURES, ...init.spec }),
    limits: Object.freeze({ ...init.limits }),
  });
}
