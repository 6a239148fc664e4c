import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { listenVsock, waitForSocket, waitForVsock, type VsockListener } from '../dist/index.js';
import { temporaryFolder } from './fixture.js';

const path = '/nonexistent/v';
const process_ = { pid: 1, startTime: '1', bootId: 'b' };

type Options = Record<string, unknown>;
type Call = (options: never) => Promise<unknown>;

const WRONG_WAITS: readonly [string, unknown, RegExp][] = [
  ['no options', undefined, /"options"/],
  ['null', null, /"options"/],
  ['no path', {}, /"path"/],
  ['an empty path', { path: '' }, /"path"/],
  ['a path with NUL', { path: '/a\0b' }, /"path"/],
  ['a path that is none', { path: 7 }, /"path"/],
  ['a negative deadline', { path, deadline: -1 }, /"deadline"/],
  ['NaN', { path, deadline: NaN }, /"deadline"/],
  ['a deadline beyond what timers take', { path, deadline: 2 ** 31 }, /"deadline"/],
  ['a deadline that is a text', { path, deadline: '10' }, /"deadline"/],
  ['a date', { path, deadline: new Date() }, /"deadline"/],
  ['a process that is a pid', { path, process: 1 }, /"process"/],
  ['null as process', { path, process: null }, /"process"/],
  ['an empty process', { path, process: {} }, /"process.pid"/],
  ['pid 0', { path, process: { ...process_, pid: 0 } }, /"process.pid"/],
  ['no start time', { path, process: { ...process_, startTime: undefined } }, /"process.startTime"/],
  ['no boot id', { path, process: { identity: { ...process_, bootId: 5 } } }, /"process.bootId"/],
  ['a signal that is none', { path, signal: {} }, /"signal"/],
  ['half-open that is no flag', { path, allowHalfOpen: 1 }, /"allowHalfOpen"/],
];

const WRONG_PORTS: readonly unknown[] = [undefined, null, '52', -1, 1.5, NaN, 2 ** 32 - 1, 2 ** 32];

function expectTypeError(call: () => unknown, message: RegExp): void {
  let thrown: unknown;
  try {
    call();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(TypeError);
  expect(thrown).toMatchObject({
    code: 'ERR_INVALID_ARG_TYPE',
    message: expect.stringMatching(message) as string,
  });
}

test.each(WRONG_WAITS)('waitForSocket and waitForVsock refuse %s at once', (_, options, message) => {
  expectTypeError(() => (waitForSocket as Call)(options as never), message);
  const withPort = typeof options === 'object' && options !== null ? { port: 1, ...options } : options;
  expectTypeError(() => (waitForVsock as Call)(withPort as never), message);
});

test.each(WRONG_PORTS)('refuses %s as a port', (port) => {
  expectTypeError(() => (waitForVsock as Call)({ path, port } as never), /"port"/);
  expectTypeError(() => (listenVsock as Call)({ path, port } as never), /"port"/);
});

test.each<[string, Options, RegExp]>([
  ['no path', { path: undefined }, /"path"/],
  ['the uid of nobody', { uid: 2 ** 32 - 1 }, /"uid"/],
  ['a negative gid', { gid: -1 }, /"gid"/],
  ['a name of a user', { uid: 'root' }, /"uid"/],
  ['a mode with more than permissions', { mode: 0o1000 }, /"mode"/],
  ['a mode in text', { mode: '600' }, /"mode"/],
  ['no backlog', { backlog: 0 }, /"backlog"/],
  ['a signal that is none', { signal: 'abort' }, /"signal"/],
])('listenVsock refuses %s before it makes anything', (_, options, message) => {
  const base = join(temporaryFolder(), 'v');
  expectTypeError(() => (listenVsock as Call)({ path: base, port: 1, ...options } as never), message);
  expect(existsSync(`${base}_1`)).toBe(false);
});

test('accept refuses wrong options at once', async () => {
  const listening: VsockListener = await listenVsock({ path: join(temporaryFolder(), 'v'), port: 1 });
  for (const options of [null, { deadline: -1 }, { process: 1 }, { signal: 1 }, { allowHalfOpen: 'yes' }]) {
    expect(() => (listening.accept as Call)(options as never)).toThrow(TypeError);
  }
  await listening.close();
});
