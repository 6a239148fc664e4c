import { createMicrovm } from '../src/index.js';
import { createTemporaryState } from '../src/temporary-state.js';
import { expect, it } from 'vitest';

/** How many listeners this process has, by the event that they wait for. */
function listeners(): ReadonlyMap<string | symbol, number> {
  return new Map(process.eventNames().map((event) => [event, process.listenerCount(event)]));
}

it('adds no listener to the process for a temporary folder', async () => {
  const before = listeners();
  const states = await Promise.all(Array.from({ length: 12 }, () => createTemporaryState()));
  expect(listeners()).toEqual(before);
  await Promise.all(states.map((state) => state.remove()));
});

it('adds one listener to the process, however many objects have a runtime of their own', async () => {
  const before = process.listenerCount('beforeExit');
  const objects = Array.from({ length: 12 }, () => createMicrovm({ driver: 'in-memory' }));
  await Promise.all(objects.map((object) => object.runtime()));
  expect(process.listenerCount('beforeExit')).toBe(before + 1);
  await Promise.all(objects.map((object) => object.close()));
  expect(process.listenerCount('beforeExit')).toBe(before);
});
