import { describeProvider } from '@microvm/conformance';
import { afterAll, expect } from 'vitest';
import { inMemoryProvider } from './in-memory-provider.js';

const breaches: string[] = [];

describeProvider('in memory, without a state directory', inMemoryProvider({ durable: false, breaches }));
describeProvider('in memory, with a state directory', inMemoryProvider({ durable: true, breaches }));
describeProvider(
  'in memory, with VMs that outlive the runtime',
  inMemoryProvider({ durable: true, isShared: true, breaches }),
);

afterAll(() => expect(breaches, 'the engine kept the rules of the driver interface').toEqual([]));
