import { totalmem } from 'node:os';
import { openImages } from '@microvm/image';
import * as native from '@microvm/native';
import { MIB, openRuntime, type EngineOptions, type VmDriver, type VmRuntime } from '@microvm/runtime';
import type { z } from 'zod';
import type { imageOptionsShape } from '../image/default-spec.js';
import { ensureBlankDisk } from '../image/blank-disk.js';
import { withDefaultImage } from '../image/default-spec.js';
import type { ProcessDriverOptions } from '../vm/process-driver.js';
import { hostUnsupported } from './host-report.js';
import type { Inspection } from './inspect-host.js';
import { stateContent } from './state-content.js';

/** What every driver on this kit is made from. */
export interface DriverParts<Facts> extends ProcessDriverOptions {
  readonly hostFacts: Facts;
  /** The memory of the host. */
  readonly maxMemSizeMib: number;
}

export interface OpenOnHost<Facts> {
  /** For errors, such as `open a QEMU runtime`. */
  readonly operation: string;
  readonly inspect: () => Promise<Inspection<Facts>>;
  readonly makeDriver: (parts: DriverParts<Facts>) => VmDriver;
}

type ImageOptions = {
  readonly [K in keyof typeof imageOptionsShape]?: z.output<(typeof imageOptionsShape)[K]>;
};
type OwnOptions = Omit<
  EngineOptions,
  'driver' | 'hostCalls' | 'content' | 'stateDir' | 'images' | 'blankDisk'
>;

/**
 * Opens a runtime whose VMMs are processes: looks at the host, makes the default image unless the defaults
 * name another kernel, and opens the engine on the driver, with the images of this user. Errors:
 * HOST_UNSUPPORTED, and those of `openRuntime`.
 */
export async function openOnHost<Facts>(
  { operation, inspect, makeDriver }: OpenOnHost<Facts>,
  {
    cacheDir,
    imageStore,
    onImageProgress,
    ...options
  }: OwnOptions & ImageOptions & { readonly stateDir: string },
): Promise<VmRuntime> {
  const { report, hostFacts } = await inspect();
  if (hostFacts === undefined) throw hostUnsupported(operation, report);
  const { stateDir } = options;
  const driver = makeDriver({
    hostFacts,
    stateDir,
    maxMemSizeMib: Math.floor(totalmem() / MIB),
    probe: async () => (await inspect()).report,
  });
  const image = { cacheDir, onProgress: onImageProgress };
  const defaults = await withDefaultImage(options.defaults ?? {}, image);
  return openRuntime({
    ...options,
    defaults,
    driver,
    hostCalls: native,
    content: stateContent(stateDir),
    images: openImages({ imageStore, stateDir }),
    blankDisk: (call) => ensureBlankDisk({ ...call, cacheDir }),
  });
}
