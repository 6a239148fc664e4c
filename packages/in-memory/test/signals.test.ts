import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { createFaults, createInMemoryRuntime } from '../src/index.js';

const CALLS = 20;

it('a signal that many calls, commands and readers share has one listener', async () => {
  const faults = createFaults();
  const runtime = await createInMemoryRuntime({ faults });
  const { signal } = new AbortController();
  const listeners = (): number => getEventListeners(signal, 'abort').length;
  const names = Array.from({ length: CALLS }, (_, index) => `vm-${index}`);
  await Promise.all(names.map((vmId) => runtime.createVm(vmId, { signal })));
  expect(listeners()).toBe(0);
  const booting = faults.add({ at: 'boot', kind: 'hang', nth: CALLS });
  const started = names.map((vmId) => runtime.startVm(vmId, { signal, idempotencyKey: vmId }));
  const joined = names.map((vmId) => runtime.startVm(vmId, { signal, idempotencyKey: vmId }));
  const readers = names.map(() => runtime.events({ signal })[Symbol.asyncIterator]());
  await booting.reached;
  expect(listeners()).toBe(1);
  booting.remove();
  await Promise.all([...started, ...joined]);
  const guests = await Promise.all(names.map((vmId) => runtime.guest(vmId)));
  const commands = guests.map((guest) => guest.exec({ argv: ['cat'], signal }));
  expect(listeners()).toBe(1);
  for (const command of commands) command.stdin.end();
  await Promise.all(commands.map((command) => command.result));
  for (const reader of readers) await reader.return?.();
  expect(listeners()).toBe(0);
  await runtime.close();
});
