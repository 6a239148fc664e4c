import { expect, test } from 'vitest';
import { ConsoleLog } from '../src/driver/console-log.js';

async function readAll(log: ConsoleLog, options: Parameters<ConsoleLog['read']>[0] = {}): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of log.read(options)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

test('keeps what was written, and gives its end', async () => {
  const log = new ConsoleLog(100);
  log.append('one\n');
  log.append(Buffer.from('two\n'));
  expect(await readAll(log)).toBe('one\ntwo\n');
  expect(await readAll(log, { tailBytes: 4 })).toBe('two\n');
  expect(await readAll(log, { tailBytes: 0 })).toBe('');
  expect(await readAll(log, { tailBytes: 1000 })).toBe('one\ntwo\n');
  expect(log.lastLines(1)).toEqual(['two']);
});

test('drops the oldest output beyond its limit, byte by byte', async () => {
  const log = new ConsoleLog(10);
  for (let index = 0; index < 50; index += 1) log.append(`${index % 10}`);
  expect(await readAll(log)).toBe('0123456789');
  log.append('x'.repeat(5000));
  log.append('yz');
  expect(await readAll(log)).toBe('xxxxxxxxyz');
});

test('follows until it is closed', async () => {
  const log = new ConsoleLog(100);
  log.append('a');
  const reading = readAll(log, { follow: true });
  log.append('b');
  await Promise.resolve();
  log.append('c');
  log.close();
  expect(await reading).toBe('abc');
});

test('follows until the signal aborts, which is no error', async () => {
  const log = new ConsoleLog(100);
  const abort = new AbortController();
  const reading = readAll(log, { follow: true, signal: abort.signal });
  log.append('a');
  await new Promise((resolve) => setImmediate(resolve));
  abort.abort();
  log.append('b');
  expect(await reading).toBe('a');
});

test('a slow follower misses what was dropped, and nothing else', async () => {
  const log = new ConsoleLog(4);
  const reader = log.read({ follow: true });
  log.append('ab');
  expect((await reader.next()).value?.toString()).toBe('ab');
  log.append('cdef');
  log.append('gh');
  expect((await reader.next()).value?.toString()).toBe('efgh');
  log.close();
  expect((await reader.next()).done).toBe(true);
});
