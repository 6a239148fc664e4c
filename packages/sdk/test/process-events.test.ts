import { createMicrovm } from '../src/index.js';
import { createTemporaryState } from '../src/temporary-state.js';
import { expect, it } from 'vitest';

it('adds one listener to the process, however many temporary folders there are', async () => {
  const before = process.listenerCount('exit');
  const states = await Promise.all(Array.from({ length: 12 }, () => createTemporaryState()));
  expect(process.listenerCount('exit')).toBe(before + 1);
  await Promise.all(states.map((state) => state.remove()));
  expect(process.listenerCount('exit')).toBe(before);
});

it('adds one listener to the process, however many objects have a runtime of their own', async () => {
  const before = process.listenerCount('beforeExit');
  const objects = Array.from({ length: 12 }, () => createMicrovm({ driver: 'in-memory' }));
  await Promise.all(objects.map((object) => object.runtime()));
  expect(process.listenerCount('beforeExit')).toBe(before + 1);
  await Promise.all(objects.map((object) => object.close()));
  expect(process.listenerCount('beforeExit')).toBe(before);
});
