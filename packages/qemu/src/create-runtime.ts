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
import { QemuDriver } from './driver.js';
import { inspectHost, type InspectOptions } from './host/inspect-host.js';

const DEFAULTS = { qemuPath: 'qemu-system-x86_64', accelerator: 'auto', bootSilenceMs: 20_000 } as const;

/** Settings of this driver alone; README.md lists them. */
export const QEMU_SETTINGS: readonly Setting[] = [
  {
    option: 'qemuPath',
    env: 'MICROVM_QEMU_PATH',
    type: 'string',
    default: DEFAULTS.qemuPath,
    meaning: 'QEMU: an absolute path, or a name to look up in `PATH`.',
  },
  {
    option: 'accelerator',
    env: 'MICROVM_QEMU_ACCELERATOR',
    type: 'string',
    default: DEFAULTS.accelerator,
    meaning: '`kvm`, `tcg` (emulation), or `auto`: KVM where the probe says that it can run Linux.',
  },
  {
    option: 'bootSilenceMs',
    env: 'MICROVM_QEMU_BOOT_SILENCE_MS',
    type: 'integer',
    default: String(DEFAULTS.bootSilenceMs),
    meaning: 'How long an emulated guest may print nothing early in its boot before that is made again.',
  },
];

const SETTINGS: readonly Setting[] = [...COMMON_SETTINGS, ...RUNTIME_IMAGE_SETTINGS, ...QEMU_SETTINGS];

const optionsSchema = z.strictObject({
  ...commonOptionsShape,
  qemuPath: z.string().min(1).optional(),
  accelerator: z.enum(['auto', 'kvm', 'tcg']).optional(),
  bootSilenceMs: z
    .int()
    .min(1)
    .max(2 ** 31 - 1)
    .optional(),
  ...imageOptionsShape,
});

export type QemuOptions = z.input<typeof optionsSchema>;

/**
 * A runtime whose VMs are QEMU processes: real guests without KVM and without root. Makes the default guest
 * image on first use, unless `defaults.kernelPath` names another kernel. One process owns a state directory
 * at a time. Errors: INVALID_ARGUMENT, HOST_UNSUPPORTED, STATE_LOCKED, STATE_CORRUPT, NO_SPACE, HOST_FAILURE.
 */
export async function createQemuRuntime(options?: QemuOptions): Promise<VmRuntime> {
  const { qemuPath, accelerator, bootSilenceMs, ...rest } = resolveOptions(optionsSchema, SETTINGS, options);
  const inspect = inspectOptions({ qemuPath, accelerator, stateDir: rest.stateDir });
  return openOnHost(
    {
      operation: 'open a QEMU runtime',
      inspect: () => inspectHost(inspect),
      makeDriver: (parts) =>
        new QemuDriver({ ...parts, bootSilenceMs: bootSilenceMs ?? DEFAULTS.bootSilenceMs }),
    },
    { ...rest, stateDir: inspect.stateDir },
  );
}

/** Can QEMU VMs run on this host, and how: what `probe()` of a runtime answers, without opening one. */
export async function probeQemu(
  options: Pick<QemuOptions, 'qemuPath' | 'accelerator' | 'stateDir'> = {},
): Promise<HostReport> {
  return (await inspectHost(inspectOptions(resolveOptions(optionsSchema, SETTINGS, options)))).report;
}

function inspectOptions(
  options: Pick<z.output<typeof optionsSchema>, 'qemuPath' | 'accelerator' | 'stateDir'>,
): InspectOptions {
  return {
    qemuPath: options.qemuPath ?? DEFAULTS.qemuPath,
    accelerator: options.accelerator ?? DEFAULTS.accelerator,
    stateDir: options.stateDir ?? defaultStateDir('qemu', process.env),
  };
}
