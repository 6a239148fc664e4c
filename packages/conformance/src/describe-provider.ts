import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isVmRuntimeError, type Capabilities } from '@microvm/runtime';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { ProviderFactory } from './factory.js';
import { ProviderFixture } from './fixture.js';
import { SUITES } from './suites.js';

/** The facts that the suite needs before it can list its tests. */
export type ProviderFacts =
  | { readonly isUsable: true; readonly capabilities: Capabilities }
  | { readonly isUsable: false; readonly reasons: readonly string[] };

/** Opens the provider once, asks whether it works on this host and what it can do, and closes it. */
export async function inspectProvider(factory: ProviderFactory): Promise<ProviderFacts> {
  const isDurable = factory.durable ?? true;
  const stateDir = isDurable ? await mkdtemp(join(tmpdir(), 'microvm-conformance-')) : undefined;
  try {
    const runtime = await factory.open({ stateDir });
    try {
      const report = await runtime.probe();
      if (report.usable) return { isUsable: true, capabilities: runtime.capabilities };
      const errors = report.findings.filter((finding) => finding.severity === 'error');
      return { isUsable: false, reasons: errors.map(({ code, message }) => `${code}: ${message}`) };
    } finally {
      await runtime.close();
    }
  } catch (error) {
    if (!isVmRuntimeError(error, 'MICROVM_HOST_UNSUPPORTED')) throw error;
    return { isUsable: false, reasons: [error.message] };
  } finally {
    if (stateDir !== undefined) await rm(stateDir, { recursive: true, force: true });
  }
}

/** Registers the one test of a host that cannot run the provider. */
export function registerUnusable(name: string, reasons: readonly string[]): void {
  const title = `runs on this host: ${reasons.join('; ')}`;
  if (process.env['MICROVM_REQUIRE_KVM'] === '1') {
    test(title, () => expect.fail(`${name} cannot run here, and MICROVM_REQUIRE_KVM=1 says that it must`));
    return;
  }
  console.warn(`${name}: skipped, this host cannot run it: ${reasons.join('; ')}`);
  test.skip(title, () => undefined);
}

/**
 * Registers the conformance suite: every test that proves a `VmRuntime` against the contract. The suite
 * makes, uses and destroys its own VMs; for every ability that `capabilities` lacks it tests the refusal. A
 * host that `probe()` calls unusable skips it aloud, or fails with `MICROVM_REQUIRE_KVM=1`.
 */
export function describeProvider(name: string, factory: ProviderFactory): void {
  const timeout = 10_000 * (factory.deadlineFactor ?? 1);
  describe(name, { timeout }, async () => {
    const facts = await inspectProvider(factory);
    if (!facts.isUsable) {
      registerUnusable(name, facts.reasons);
      return;
    }
    const fixture = new ProviderFixture(factory, facts.capabilities);
    beforeAll(async () => {
      if (facts.capabilities.memorySnapshot) await fixture.golden();
    }, timeout);
    afterEach(() => fixture.cleanUp(), timeout);
    afterAll(() => fixture.dispose(), timeout);
    for (const register of SUITES) register(fixture);
  });
}
