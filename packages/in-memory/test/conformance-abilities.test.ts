import { describeProvider } from '@microvm/conformance';
import { defineCapabilities } from '@microvm/runtime';
import { afterAll, expect } from 'vitest';
import type { InMemoryOptions } from '../src/index.js';
import { inMemoryProvider } from './in-memory-provider.js';

const limits = { maxVcpuCount: 2, maxMemSizeMib: 512 };

/** Abilities that drivers lack together, or that do not hide each other. */
const WITHOUT: Readonly<Record<string, InMemoryOptions['capabilities']>> = {
  'pause and rename': { pause: false, rename: false },
  'memory snapshots': { memorySnapshot: false },
  'disk snapshots, concurrent restores and overrides': {
    diskSnapshot: false,
    concurrentRestores: false,
    networkOverrides: false,
  },
  'any snapshots, agent, console and metrics': {
    memorySnapshot: false,
    diskSnapshot: false,
    guestAgent: false,
    console: false,
    metrics: false,
  },
  'spec features': { spec: defineCapabilities({ limits }).spec, limits },
};

const breaches: string[] = [];

for (const [abilities, capabilities] of Object.entries(WITHOUT)) {
  describeProvider(
    `in memory, without ${abilities}`,
    inMemoryProvider({ durable: false, capabilities, breaches }),
  );
}

afterAll(() => expect(breaches, 'no method was called that the driver lacks').toEqual([]));
