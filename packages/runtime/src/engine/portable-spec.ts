import { z } from 'zod';
import {
  driveIdSchema,
  driveShape,
  networkInterfaceShape,
  vmSpecSchema,
  type ResolvedVmSpec,
} from '../contract/spec.js';

/**
 * What a host grants a VM. For a restored VM these fields come from the caller and the runtime's defaults,
 * never from a snapshot.
 */
export const HOST_FIELDS = ['jail', 'limits', 'onOwnerDeath', 'consoleLimitBytes'] as const;

const portableDrive = z.strictObject(driveShape).omit({ path: true });
const portableInterface = z.strictObject(networkInterfaceShape).omit({ netnsPath: true });
const { shape } = vmSpecSchema;

/**
 * The part of a spec that describes the guest. A manifest may come from another host, so it names no file, no
 * limit, no jail and no namespace of a host: these fields are unknown here, and a manifest that has one of
 * them is refused.
 */
export const portableSpecSchema = vmSpecSchema
  .omit({
    restoreFrom: true,
    resumeImmediately: true,
    networkOverrides: true,
    inheritSecrets: true,
    secrets: true,
    kernelPath: true,
    initrdPath: true,
    jail: true,
    limits: true,
    onOwnerDeath: true,
    consoleLimitBytes: true,
  })
  .extend({
    vcpuCount: shape.vcpuCount.unwrap(),
    memSizeMib: shape.memSizeMib.unwrap(),
    console: shape.console.unwrap(),
    agent: shape.agent.unwrap(),
    onGuestReboot: shape.onGuestReboot.unwrap(),
    shutdownTimeoutMs: shape.shutdownTimeoutMs.unwrap(),
    rootDrive: portableDrive.optional(),
    drives: z
      .array(portableDrive.extend({ driveId: driveIdSchema }))
      .max(32)
      .optional(),
    networkInterfaces: z.array(portableInterface).max(16).optional(),
  });

export type PortableSpec = Readonly<z.infer<typeof portableSpecSchema>>;

/** Leaves out of a spec what belongs to the host. */
export function portableSpec(spec: ResolvedVmSpec): PortableSpec {
  const { rootDrive, drives, networkInterfaces, ...guest } = omit(spec, [
    'kernelPath',
    'initrdPath',
    ...HOST_FIELDS,
  ]);
  return {
    ...guest,
    ...(rootDrive === undefined ? {} : { rootDrive: withoutPath(rootDrive) }),
    ...(drives === undefined ? {} : { drives: drives.map(withoutPath) }),
    ...(networkInterfaces === undefined ? {} : { networkInterfaces: networkInterfaces.map(withoutNetns) }),
  };
}

export function withoutPath<T extends { readonly path: string }>(drive: T): Omit<T, 'path'> {
  return omit(drive, ['path']);
}

export function withoutNetns<T extends { readonly netnsPath?: string | undefined }>(
  nic: T,
): Omit<T, 'netnsPath'> {
  return omit(nic, ['netnsPath']);
}

function omit<T extends object, K extends keyof T>(value: T, fields: readonly K[]): Omit<T, K> {
  const left: readonly PropertyKey[] = fields;
  return Object.fromEntries(Object.entries(value).filter(([field]) => !left.includes(field))) as Omit<T, K>;
}
