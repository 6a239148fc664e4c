import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { destroyAll } from '@microvm/conformance';
import type { VmRuntime } from '@microvm/runtime';
import { onTestFinished } from 'vitest';
import { createFirecrackerRuntime, probeFirecracker, type FirecrackerOptions } from '../../src/index.js';
import { imageDefaults } from '../factory.js';
import { WITHOUT_GUEST } from './guestless-factory.js';

/*
 * The real Firecracker and its jailer on a host whose KVM need not be able to run Linux: all of the host's
 * side works there, only the guest makes no progress. So the VMs here have no agent.
 */

const report = await probeFirecracker({ kvm: 'unchecked' });

/** Why the real binaries cannot be used; undefined where they can. */
export const whyNot = report.usable
  ? undefined
  : report.findings
      .filter(({ severity }) => severity === 'error')
      .map(({ message }) => message)
      .join('; ');

/** For `describe`: with the reason where its tests are skipped. */
export function titled(title: string): string {
  if (whyNot !== undefined) console.warn(`${title}: skipped, no real Firecracker: ${whyNot}`);
  return whyNot === undefined ? `${title}, on Firecracker ${report.vmmVersion}` : `${title}: ${whyNot}`;
}

export async function openReal(options: FirecrackerOptions = {}): Promise<VmRuntime> {
  const { stateDir = await mkdtemp(join(tmpdir(), 'fc-native-')), defaults, ...rest } = options;
  onTestFinished(() => rm(stateDir, { recursive: true, force: true }));
  const runtime = await createFirecrackerRuntime({
    ...rest,
    stateDir,
    kvm: 'unchecked',
    defaults: { ...(await imageDefaults()), ...WITHOUT_GUEST, ...defaults },
  });
  onTestFinished(async () => {
    await destroyAll(runtime).catch(() => undefined); // closed by the test
    await runtime.close();
  });
  return runtime;
}
