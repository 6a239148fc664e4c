import { describe, expect, it } from 'vitest';
import type { VmEvent } from '../src/index.js';
import { EventHub } from '../src/engine/event-hub.js';

function event(n: number): VmEvent {
  return { type: 'snapshot-deleted', at: new Date(n).toISOString(), snapshotUid: String(n) };
}

async function take(iterable: AsyncIterable<VmEvent>, count: number): Promise<VmEvent[]> {
  const taken: VmEvent[] = [];
  for await (const item of iterable) {
    taken.push(item);
    if (taken.length === count) break;
  }
  return taken;
}

describe('EventHub', () => {
  it('hands each reader every event from its call on, in order', async () => {
    const hub = new EventHub();
    hub.emit(event(0));
    const reader = hub.read();
    hub.emit(event(1));
    hub.emit(event(2));
    expect(await take(reader, 2)).toEqual([event(1), event(2)]);
  });

  it('tells a slow reader how many events it missed, before the next one', async () => {
    const hub = new EventHub();
    const reader = hub.read({ bufferSize: 2 });
    for (const n of [1, 2, 3, 4, 5]) hub.emit(event(n));
    const [lagged, ...rest] = await take(reader, 3);
    expect(lagged).toMatchObject({ type: 'lagged', missed: 3 });
    expect(rest).toEqual([event(4), event(5)]);
  });

  it('ends a reader by its signal and forgets it', async () => {
    const hub = new EventHub();
    const abort = new AbortController();
    const reading = take(hub.read({ signal: abort.signal }), 1);
    abort.abort();
    expect(await reading).toEqual([]);
    expect(hub.hasReaders).toBe(false);
  });

  it('forgets a reader that breaks off', async () => {
    const hub = new EventHub();
    const reader = hub.read();
    hub.emit(event(1));
    await take(reader, 1);
    expect(hub.hasReaders).toBe(false);
  });

  it('lets readers finish what is buffered when it closes', async () => {
    const hub = new EventHub();
    const reader = hub.read();
    hub.emit(event(1));
    hub.close();
    expect(await take(reader, 5)).toEqual([event(1)]);
  });

  it('keeps the event loop alive while a reader waits, and no longer', async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const hub = new EventHub();
    const before = timers();
    const readers = [hub.read(), hub.read()].map((events) => events[Symbol.asyncIterator]());
    expect(timers()).toBe(before);
    const waiting = readers.map((reader) => reader.next());
    expect(timers()).toBe(before + 1);
    hub.emit(event(1));
    await Promise.all(waiting);
    expect(timers()).toBe(before);
    const last = readers.map((reader) => reader.next());
    expect(timers()).toBe(before + 1);
    hub.close();
    await Promise.all(last);
    expect(timers()).toBe(before);
  });
});
