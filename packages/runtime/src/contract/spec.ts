import { isAbsolute, resolve } from 'node:path';
import { z } from 'zod';
import { deepFreeze } from './deep-freeze.js';
import { environmentSchema } from './environment.js';
import { defaultsBeside, IMAGE_ROOT_SIZE_MIB, IMAGE_RULES, type SpecOfImageRules } from './image-rules.js';
import { parseSchema } from './parse.js';
import { secretsSchema } from './secrets.js';

// The limits of numbers are Firecracker's where it has one (vCPUs 1–32); other bounds keep sizes within what
// a host can have.
const MIB_MAX = 16 * 1024 * 1024;
const path = z
  .string()
  .min(1)
  .max(4095)
  .refine((value) => !value.includes('\0'), 'a path without NUL')
  // A later start, or a later owner of the state directory, may run in another folder.
  .transform((value) => (isAbsolute(value) ? value : resolve(value)));
const positive = z.int().positive();
const name = z.string().regex(/^[A-Za-z0-9_]{1,64}$/, '1 to 64 of [A-Za-z0-9_]');
export const driveIdSchema = name;
const deviceName = z.string().regex(/^[^\s/]{1,15}$/, 'a Linux interface name, at most 15 characters');
const mac = z.string().regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i, 'a MAC address such as 02:00:00:00:00:01');
const port = z.int().min(1).max(65535);

/** Firecracker's token bucket: `size` tokens, refilled over `refillTimeMs`. */
const bucket = z.strictObject({
  /** Bytes for bandwidth, operations for ops. */
  size: positive,
  /** Extra tokens that are there once, at the start. */
  oneTimeBurst: z.int().nonnegative().optional(),
  refillTimeMs: positive,
});

const rateLimiter = z.strictObject({ bandwidth: bucket.optional(), ops: bucket.optional() });

/** The fields of a drive; `rootDrive` has no id. */
export const driveShape = {
  /** Image file on the host. */
  path,
  /**
   * `private`: the VM gets its own writable copy (reflink where the file system can). `shared`: the file
   * itself, read-only, by any number of VMs. Default `private`.
   */
  mode: z.enum(['private', 'shared']).optional(),
  /** The guest cannot write. Always so for `shared`. */
  readOnly: z.boolean().optional(),
  /** The private copy is grown to this size; never shrunk. In MiB. */
  sizeMib: positive.max(MIB_MAX).optional(),
  cacheType: z.enum(['Unsafe', 'Writeback']).optional(),
  ioEngine: z.enum(['Sync', 'Async']).optional(),
  rateLimiter: rateLimiter.optional(),
};

function isWritableShare(drive: { mode?: string | undefined; readOnly?: boolean | undefined }): boolean {
  return drive.mode === 'shared' && drive.readOnly === false;
}
const SHARED_IS_READ_ONLY = { path: ['readOnly'], message: 'true, as a shared drive is read-only' };

const rootDrive = z.strictObject(driveShape).refine((drive) => !isWritableShare(drive), SHARED_IS_READ_ONLY);
const drive = z
  .strictObject({ driveId: name, ...driveShape })
  .refine((drive) => !isWritableShare(drive), SHARED_IS_READ_ONLY);

/** The fields of a network interface. */
export const networkInterfaceShape = {
  ifaceId: name,
  /** An existing TAP of the caller's; absent: the runtime makes one. */
  hostDevName: deviceName.optional(),
  /** Path of an existing network namespace that holds the TAP. */
  netnsPath: path.optional(),
  guestMac: mac.optional(),
  mtu: z.int().min(576).max(65535).optional(),
  rxRateLimiter: rateLimiter.optional(),
  txRateLimiter: rateLimiter.optional(),
};
const networkInterface = z.strictObject(networkInterfaceShape);

const networkOverride = z
  .strictObject({
    ifaceId: name,
    /** Another TAP. */
    hostDevName: deviceName.optional(),
    /** Another namespace: clones whose TAPs have one name live in one each. */
    netnsPath: path.optional(),
  })
  .refine((override) => override.hostDevName !== undefined || override.netnsPath !== undefined, {
    path: ['hostDevName'],
    message: 'hostDevName, netnsPath or both',
  });

const egressRule = z.strictObject({
  cidr: z.union([z.cidrv4(), z.cidrv6()]),
  protocol: z.enum(['tcp', 'udp', 'icmp']).optional(),
  ports: z.array(port).min(1).optional(),
});

const portForward = z.strictObject({
  /** Default 127.0.0.1. */
  hostAddress: z.union([z.ipv4(), z.ipv6()]).optional(),
  hostPort: port,
  guestPort: port,
  protocol: z.enum(['tcp', 'udp']).optional(),
});

const bootArgs = z.union([
  /** Added behind the tuned default. */
  z.strictObject({ append: z.string().max(2048) }),
  /** Instead of the tuned default. */
  z.strictObject({ replace: z.string().max(2048) }),
]);

const restoreFrom = z.union([
  z.strictObject({ vmId: z.string(), snapshotId: z.string() }),
  z.strictObject({ snapshotUid: z.string() }),
]);

export const vmSpecSchema = z.strictObject({
  /** Kernel image on the host: an ELF vmlinux or a bzImage. */
  kernelPath: path.optional(),
  initrdPath: path.optional(),
  bootArgs: bootArgs.optional(),
  /** 1 to 32; with `smt` 1 or an even number. */
  vcpuCount: z.int().min(1).max(32).optional(),
  /** Guest memory in MiB. */
  memSizeMib: z.int().min(16).max(MIB_MAX).optional(),
  smt: z.boolean().optional(),
  cpuTemplate: z.enum(['C3', 'T2', 'T2S', 'T2CL', 'T2A', 'V1N1', 'None']).optional(),
  trackDirtyPages: z.boolean().optional(),
  hugePages: z.enum(['None', '2M']).optional(),
  /**
   * The image whose root file system the guest has: a name, or a `sha256:` digest. The name is looked up
   * once, at create: the VM keeps that image for life, whatever the name means later. The VM gets an empty
   * private disk for what it writes, and the image as its drive `image`, which all VMs share: `/dev/vda` and
   * `/dev/vdb`. `microvm.image=/dev/vdb` is added to the kernel's arguments, also to those of
   * `bootArgs.replace`. A kernel and an initramfs of the caller's own must do what those of the default image
   * do: know squashfs and overlayfs, and run the agent. Excludes `rootDrive`; needs an agent.
   */
  image: z
    .string()
    .regex(/^[^\s\p{Cc}]{1,255}$/u, '1 to 255 characters without spaces')
    .optional(),
  /**
   * Process 1 of a VM with an image: our `agent` (default), or the `image`'s own `/sbin/init`, such as
   * systemd, beside which the agent works on.
   */
  imageInit: z.enum(['agent', 'image']).optional(),
  /**
   * The size of the VM's root disk in MiB: with an image 1,024 by default, at least 16; without one the copy
   * of the root drive, also of the default image's, is grown to it, and never shrunk.
   */
  rootSizeMib: positive.max(MIB_MAX).optional(),
  rootDrive: rootDrive.optional(),
  drives: z.array(drive).max(32).optional(),
  networkInterfaces: z.array(networkInterface).max(16).optional(),
  /** What the guest may reach; everything else is denied. */
  egress: z.strictObject({ allow: z.array(egressRule).max(1024) }).optional(),
  portForwards: z.array(portForward).max(256).optional(),
  vsock: z.strictObject({ guestCid: z.int().min(3).max(0xffff_fffe).optional() }).optional(),
  balloon: z
    .strictObject({
      amountMib: z.int().nonnegative().max(MIB_MAX),
      deflateOnOom: z.boolean().optional(),
      /** Seconds between the guest's reports; 0 for none. */
      statsPollingIntervalS: z.int().nonnegative().max(65535).optional(),
      /**
       * The guest tells of pages that it has freed, and their memory goes back to the host. Needs
       * PAGE_REPORTING in its kernel.
       */
      freePageReporting: z.boolean().optional(),
    })
    .optional(),
  entropy: z.strictObject({ rateLimiter: rateLimiter.optional() }).optional(),
  mmds: z
    .strictObject({
      version: z.enum(['V1', 'V2']).optional(),
      ipv4Address: z.ipv4().optional(),
      networkInterfaces: z.array(name).min(1),
      data: z.record(z.string(), z.json()).optional(),
    })
    .optional(),
  serial: z.strictObject({ rateLimiter: rateLimiter.optional() }).optional(),
  /** Keep what the guest writes to its serial console (default), or throw it away. */
  console: z.boolean().optional(),
  /** Space that the console log may take, in bytes; the oldest output goes first. Default 1 MiB. */
  consoleLimitBytes: z
    .int()
    .min(4096)
    .max(2 ** 40)
    .optional(),
  limits: z
    .strictObject({
      /** Processor time as a number of cores, such as 0.5. */
      cpuCores: z.number().positive().max(1024).optional(),
      /** Memory of the VMM beyond the guest's own, in MiB. */
      memoryHeadroomMib: positive.max(MIB_MAX).optional(),
      pidsMax: positive.optional(),
      ioReadBytesPerSecond: positive.optional(),
      ioWriteBytesPerSecond: positive.optional(),
    })
    .optional(),
  /** Run the VMM in the official jail, where the driver has one. */
  jail: z.boolean().optional(),
  /** `required` (default): a boot is ready when the agent answers. `none`: the image has no agent of ours. */
  agent: z.enum(['required', 'none']).optional(),
  /**
   * Variables of every command in the guest, over the guest's defaults and under those of the command itself;
   * `setEnv` changes them later. Kept in the VM's record and in its snapshots: nothing for secrets. At most 1
   * MiB. Needs an agent.
   */
  env: environmentSchema.optional(),
  /**
   * Secrets of the guest, by name: each is a file of mode 0600 below /run/secrets, and may be a variable of
   * commands that name it (`ExecRequest.secrets`). They live in memory alone: neither the record, nor the
   * view, nor a log has a value. At most 64, of 64 KiB each and 512 KiB in all. Needs an agent.
   */
  secrets: secretsSchema.optional(),
  /**
   * A start does not fail for want of a secret: the guest does without those that are missing. Default false.
   */
  secretsOptional: z.boolean().optional(),
  /**
   * With `restoreFrom` a snapshot that was taken with `allowSecrets`: its secrets stay in the guest. Default
   * false.
   */
  inheritSecrets: z.boolean().optional(),
  /** When the guest reboots itself: boot again (default), or be stopped. */
  onGuestReboot: z.enum(['restart', 'stop']).optional(),
  /** When our process is gone: `keep` the VM for the next owner (default), or `destroy` it at once. */
  onOwnerDeath: z.enum(['keep', 'destroy']).optional(),
  /** How long `stopVm` lets the guest flush before force, in milliseconds. Default 10,000. */
  shutdownTimeoutMs: z
    .int()
    .nonnegative()
    .max(2 ** 31 - 1)
    .optional(),
  /** The caller's own notes; at most 64. */
  labels: z
    .record(z.string().min(1).max(63), z.string().max(255))
    .refine((labels) => Object.keys(labels).length <= 64, 'at most 64 labels')
    .optional(),
  /**
   * Come from this snapshot instead of a cold boot. Cold-boot fields beside it must agree with the snapshot.
   */
  restoreFrom: restoreFrom.optional(),
  /** With `restoreFrom`: run at once (default), or stay paused. */
  resumeImmediately: z.boolean().optional(),
  /**
   * With `restoreFrom`: other TAPs or namespaces for the snapshot's interfaces; they become part of the VM's
   * spec.
   */
  networkOverrides: z.array(networkOverride).optional(),
});

/**
 * What a VM shall be. Every field is optional: the runtime's defaults fill the rest. Unknown fields are
 * refused.
 */
export type VmSpec = z.infer<typeof vmSpecSchema>;

/** Fields about the way a VM comes to be, not about what it is: they are not kept in its record. */
export const RESTORE_FIELDS = [
  'restoreFrom',
  'resumeImmediately',
  'networkOverrides',
  'inheritSecrets',
] as const;

/** Fields that no record has: those about the way, and the values of secrets. */
export const UNRECORDED_FIELDS = [...RESTORE_FIELDS, 'secrets'] as const;

/** Fields that a restored VM may choose anew: they do not describe what the snapshot holds. */
export const FREE_ON_RESTORE = [
  'console',
  'consoleLimitBytes',
  'jail',
  'limits',
  'env',
  'onGuestReboot',
  'onOwnerDeath',
  'secrets',
  'secretsOptional',
  'shutdownTimeoutMs',
  'labels',
] as const satisfies readonly (keyof VmSpec)[];

const DEFAULTS = {
  vcpuCount: 1,
  memSizeMib: 128,
  console: true,
  consoleLimitBytes: 1024 * 1024,
  agent: 'required',
  onGuestReboot: 'restart',
  onOwnerDeath: 'keep',
  shutdownTimeoutMs: 10_000,
} as const satisfies Partial<VmSpec>;

/** A spec after the defaults: what the record and the snapshot keep. */
export type ResolvedVmSpec = Omit<VmSpec, (typeof UNRECORDED_FIELDS)[number] | keyof typeof DEFAULTS> & {
  readonly [Field in keyof typeof DEFAULTS]: NonNullable<VmSpec[Field]>;
};

type SpecOfRules = SpecOfImageRules & {
  readonly networkInterfaces?: readonly { readonly ifaceId: string }[] | undefined;
};

const RULES: readonly (readonly [path: string, expected: string, broken: (spec: SpecOfRules) => boolean])[] =
  [
    [
      'vcpuCount',
      '1 or an even number with smt',
      (s) => s.smt === true && (s.vcpuCount ?? 1) > 1 && (s.vcpuCount ?? 1) % 2 === 1,
    ],
    [
      'resumeImmediately',
      'restoreFrom beside it',
      (s) => s.resumeImmediately !== undefined && s.restoreFrom === undefined,
    ],
    [
      'networkOverrides',
      'restoreFrom beside it',
      (s) => s.networkOverrides !== undefined && s.restoreFrom === undefined,
    ],
    // The VMM would cut the command line at a NUL, and the kernel at a line break.
    ['bootArgs', 'text without control characters', (s) => /[\u0000-\u001f\u007f]/.test(textOf(s.bootArgs))],
    ['drives', 'drive ids that differ', (s) => hasDouble(s.drives?.map((drive) => drive.driveId))],
    [
      'networkInterfaces',
      'interface ids that differ',
      (s) => hasDouble(s.networkInterfaces?.map((nic) => nic.ifaceId)),
    ],
    [
      'inheritSecrets',
      'restoreFrom beside it',
      (s) => s.inheritSecrets !== undefined && s.restoreFrom === undefined,
    ],
    [
      'secrets',
      'nothing with agent: "none"',
      (s) => s.agent === 'none' && Object.keys(s.secrets ?? {}).length > 0,
    ],
    ['env', 'nothing with agent: "none"', (s) => s.agent === 'none' && Object.keys(s.env ?? {}).length > 0],
    [
      'balloon.amountMib',
      'at most memSizeMib',
      (s) => (s.balloon?.amountMib ?? 0) > (s.memSizeMib ?? MIB_MAX),
    ],
    ...IMAGE_RULES,
  ];

function textOf(bootArgs: VmSpec['bootArgs']): string {
  if (bootArgs === undefined) return '';
  return 'append' in bootArgs ? bootArgs.append : bootArgs.replace;
}

function hasDouble(values: readonly string[] | undefined): boolean {
  return values !== undefined && new Set(values).size !== values.length;
}

/** Checks a spec at the edge. Throws `MICROVM_INVALID_ARGUMENT` with the path of the first wrong field. */
export function parseVmSpec(value: unknown, at = 'spec'): VmSpec {
  return parseSchema(vmSpecSchema, value, at, brokenRule);
}

/** The first rule about several fields at once that a spec breaks; undefined when there is none. */
export function brokenRule(
  spec: SpecOfRules,
): { readonly path: string; readonly expected: string } | undefined {
  const broken = RULES.find(([, , isBroken]) => isBroken(spec));
  return broken === undefined ? undefined : { path: broken[0], expected: broken[1] };
}

/** Fills a checked spec from the workspace's defaults, then from ours. */
export function resolveVmSpec(spec: VmSpec, workspaceDefaults: VmSpec): ResolvedVmSpec {
  const given = Object.fromEntries(Object.entries(spec).filter(([, value]) => value !== undefined));
  const merged: Record<string, unknown> = {
    ...DEFAULTS,
    ...defaultsBeside(spec, workspaceDefaults),
    ...given,
  };
  for (const field of UNRECORDED_FIELDS) delete merged[field];
  if (merged['image'] !== undefined) merged['rootSizeMib'] ??= IMAGE_ROOT_SIZE_MIB;
  return deepFreeze(merged) as ResolvedVmSpec;
}
