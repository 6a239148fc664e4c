import { isAbsolute } from 'node:path';
import { defaultStateDir, imageOptionsShape, openOnHost, RUNTIME_IMAGE_SETTINGS } from '@microvm/driver-kit';
import {
  COMMON_SETTINGS,
  commonOptionsShape,
  resolveOptions,
  type HostReport,
  type Setting,
  type VmRuntime,
} from '@microvm/runtime';
import { z } from 'zod';
import { FirecrackerDriver } from './driver.js';
import { inspectHost, type InspectOptions } from './host/inspect-host.js';

const DEFAULTS = {
  firecrackerPath: 'firecracker',
  jailerPath: 'jailer',
  kvm: 'required',
  registryDir: '/run/microvm',
} as const;

/** Settings of this driver alone; README.md lists them. */
export const FIRECRACKER_SETTINGS: readonly Setting[] = [
  {
    option: 'firecrackerPath',
    env: 'MICROVM_FIRECRACKER_BIN',
    type: 'string',
    default: DEFAULTS.firecrackerPath,
    meaning:
      'Firecracker: an absolute path, or a name to look up in `PATH`. For a jail it must be linked statically.',
  },
  {
    option: 'jailerPath',
    env: 'MICROVM_JAILER_BIN',
    type: 'string',
    default: DEFAULTS.jailerPath,
    meaning: 'The jailer of the same release: an absolute path, or a name to look up in `PATH`.',
  },
  {
    option: 'kvm',
    env: 'MICROVM_FIRECRACKER_KVM',
    type: 'string',
    default: DEFAULTS.kvm,
    meaning:
      '`required`: opening fails where KVM cannot run Linux. `unchecked`: no probe, for tests without guests.',
  },
  {
    option: 'registryDir',
    env: 'MICROVM_REGISTRY_DIR',
    type: 'path',
    default: DEFAULTS.registryDir,
    meaning:
      'Where the runtimes of a host say which user ids are theirs; one for the host, gone with its next boot.',
  },
];

const SETTINGS: readonly Setting[] = [...COMMON_SETTINGS, ...RUNTIME_IMAGE_SETTINGS, ...FIRECRACKER_SETTINGS];

const optionsSchema = z.strictObject({
  ...commonOptionsShape,
  firecrackerPath: z.string().min(1).optional(),
  jailerPath: z.string().min(1).optional(),
  kvm: z.enum(['required', 'unchecked']).optional(),
  registryDir: z.string().refine(isAbsolute, 'an absolute path').optional(),
  ...imageOptionsShape,
});

export type FirecrackerOptions = z.input<typeof optionsSchema>;

// A dump of memory cannot be called off, and the guest must go on after it.
const ABORT_GRACE_MS = 30_000;

/**
 * A runtime whose VMs are Firecracker processes, each in the official jail with a user of its own
 * (`defaults.jail: false`: without). Makes the default guest image on first use, unless `defaults.kernelPath`
 * names another kernel. One process owns a state directory at a time. Errors: INVALID_ARGUMENT,
 * HOST_UNSUPPORTED, STATE_LOCKED, STATE_CORRUPT, NO_SPACE, HOST_FAILURE.
 */
export async function createFirecrackerRuntime(options?: FirecrackerOptions): Promise<VmRuntime> {
  const resolved = resolveOptions(optionsSchema, SETTINGS, options);
  const { firecrackerPath: _f, jailerPath: _j, kvm: _k, registryDir, ...rest } = resolved;
  const inspect = inspectOptions(resolved);
  return openOnHost(
    {
      operation: 'open a Firecracker runtime',
      inspect: () => inspectHost(inspect),
      makeDriver: (parts) =>
        new FirecrackerDriver({ ...parts, registryDir: registryDir ?? DEFAULTS.registryDir }),
    },
    { ...rest, abortGraceMs: rest.abortGraceMs ?? ABORT_GRACE_MS, stateDir: inspect.stateDir },
  );
}

/**
 * Can Firecracker VMs run on this host, and how: what `probe()` of a runtime answers, without opening one.
 */
export async function probeFirecracker(
  options: Pick<FirecrackerOptions, 'firecrackerPath' | 'jailerPath' | 'kvm' | 'stateDir' | 'defaults'> = {},
): Promise<HostReport> {
  return (await inspectHost(inspectOptions(resolveOptions(optionsSchema, SETTINGS, options)))).report;
}

function inspectOptions(options: z.output<typeof optionsSchema>): InspectOptions {
  return {
    firecrackerPath: options.firecrackerPath ?? DEFAULTS.firecrackerPath,
    jailerPath: options.jailerPath ?? DEFAULTS.jailerPath,
    jail: options.defaults?.jail ?? true,
    kvm: options.kvm ?? DEFAULTS.kvm,
    stateDir: options.stateDir ?? defaultStateDir('firecracker', process.env),
  };
}
