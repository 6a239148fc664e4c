import { describe, expect, it } from 'vitest';
import {
  defineCapabilities,
  isVmRuntimeError,
  resolveVmSpec,
  type SpecFeatures,
  type VmSpec,
} from '../src/index.js';
import { refuseUnsupported } from '../src/engine/spec-features.js';

const limits = { maxVcpuCount: 4, maxMemSizeMib: 1024 };
const bucket = { bandwidth: { size: 1, refillTimeMs: 1 } };

/** For each feature a spec that asks for it. */
const ASKING: Readonly<Record<keyof SpecFeatures, VmSpec>> = {
  initrd: { initrdPath: '/i' },
  rootDrive: { rootDrive: { path: '/d' } },
  image: { image: 'app' },
  extraDrives: { drives: [{ driveId: 'a', path: '/d' }] },
  rateLimiters: { serial: { rateLimiter: bucket } },
  driveTuning: { rootDrive: { path: '/d', cacheType: 'Unsafe' } },
  smt: { smt: true },
  cpuTemplate: { cpuTemplate: 'T2' },
  trackDirtyPages: { trackDirtyPages: true },
  hugePages: { hugePages: '2M' },
  networkInterfaces: { networkInterfaces: [{ ifaceId: 'eth0' }] },
  egressRules: { egress: { allow: [] } },
  portForwards: { portForwards: [{ hostPort: 1, guestPort: 1 }] },
  vsock: { vsock: {} },
  balloon: { balloon: { amountMib: 0 } },
  entropy: { entropy: {} },
  mmds: { mmds: { networkInterfaces: ['eth0'] } },
  resourceLimits: { limits: {} },
  jail: { jail: true },
  consoleSwitch: { console: false },
};
const everything = Object.fromEntries(Object.keys(ASKING).map((name) => [name, true]));

describe('refuseUnsupported', () => {
  it.each(Object.entries(ASKING))(
    'refuses %s where the driver lacks it, and only there',
    (feature, asking) => {
      const spec = resolveVmSpec(asking, {});
      refuseUnsupported(spec, defineCapabilities({ limits, spec: everything }));
      const lacking = defineCapabilities({ limits, spec: { ...everything, [feature]: false } });
      expect(() => refuseUnsupported(spec, lacking)).toThrow(`spec.${feature} is not supported`);
    },
  );

  it('takes a spec that asks for nothing', () => {
    const modest = resolveVmSpec({ smt: false, cpuTemplate: 'None', hugePages: 'None', drives: [] }, {});
    refuseUnsupported(modest, defineCapabilities({ limits }));
  });

  it.each([
    ['spec.vcpuCount', { vcpuCount: 5 }],
    ['spec.memSizeMib', { memSizeMib: 1025 }],
  ])('refuses a %s beyond the limits', (path, asking) => {
    try {
      refuseUnsupported(resolveVmSpec(asking, {}), defineCapabilities({ limits, spec: everything }));
      expect.unreachable('it was taken');
    } catch (error) {
      expect(isVmRuntimeError(error, 'MICROVM_INVALID_ARGUMENT') && error.details.path).toBe(path);
    }
  });
});
