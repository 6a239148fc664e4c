import { once } from 'node:events';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { listenUnix, processIdentity, spawnProcess, waitForSocket } from '../dist/index.js';
import { openDescriptors, rejection, temporaryFolder } from './fixture.js';

async function echoServer(path: string): Promise<Server> {
  const server = createServer((socket) => socket.pipe(socket)).listen({ fd: await listenUnix(path) });
  onTestFinished(() => void server.close());
  return server;
}

/** Fails unless the stream is connected to an echo server. */
async function expectEcho(connecting: ReturnType<typeof waitForSocket>): Promise<void> {
  const socket = await connecting;
  socket.end('ping');
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  expect(answer).toBe('ping');
}

test('connects at once to a socket that listens', async () => {
  const path = join(temporaryFolder(), 's');
  await echoServer(path);
  await expectEcho(waitForSocket({ path }));
});

test('sees a socket that is made later, at a path of more than 200 characters', async () => {
  const path = join(temporaryFolder(), 'x'.repeat(150), 'y'.repeat(80), 's');
  mkdirSync(dirname(path), { recursive: true });
  const connecting = waitForSocket({ path });
  await echoServer(path);
  await expectEcho(connecting);
});

test('sees a socket in folders that are made later, moved in or made anew', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'a', 'b', 's');
  const connecting = waitForSocket({ path });
  mkdirSync(join(folder, 'a'));
  await rejection(waitForSocket({ path: join(folder, 'a', 'other'), deadline: 1 }));
  mkdirSync(join(folder, 'a', 'b'));
  await rejection(waitForSocket({ path: join(folder, 'a', 'other'), deadline: 1 }));
  rmSync(join(folder, 'a'), { recursive: true });
  mkdirSync(join(folder, 'new', 'b'), { recursive: true });
  renameSync(join(folder, 'new'), join(folder, 'a'));
  await echoServer(path);
  await expectEcho(connecting);
});

test('a socket that is left by a dead process refuses until a new one listens', async () => {
  const path = join(temporaryFolder(), 's');
  const dead = createServer().listen({ fd: await listenUnix(path) });
  await once(dead.close(), 'close');
  expect(await rejection(waitForSocket({ path, deadline: 30 }))).toMatchObject({
    code: 'ETIMEDOUT',
    stage: 'refused',
  });
  const connecting = waitForSocket({ path });
  rmSync(path, { force: true });
  await echoServer(path);
  await expectEcho(connecting);
});

test('says that it was stuck without a socket', async () => {
  const path = join(temporaryFolder(), 'none');
  expect(await rejection(waitForSocket({ path, deadline: 20 }))).toEqual({
    code: 'ETIMEDOUT',
    errno: -110,
    syscall: 'connect',
    path,
    detail: 'there is no socket',
    stage: 'no-socket',
    attempts: 0,
    message: `ETIMEDOUT: connection timed out, connect '${path}': there is no socket`,
  });
});

test('ends the moment the process ends, of a child and of one that is gone', async () => {
  const path = join(temporaryFolder(), 'none');
  const child = await spawnProcess({ file: '/bin/sleep', args: ['1000'] });
  const waits = [child, child.identity].map((process) =>
    rejection(waitForSocket({ path, process, deadline: Infinity })),
  );
  child.kill('SIGKILL');
  for (const error of await Promise.all(waits))
    expect(error).toMatchObject({ code: 'ESRCH', stage: 'no-socket', path });
  await child.exited;
  expect(await rejection(waitForSocket({ path, process: child }))).toMatchObject({ code: 'ESRCH' });
});

test('a process that lives does not end it', async () => {
  const path = join(temporaryFolder(), 's');
  const process_ = processIdentity(process.pid);
  if (process_ === undefined) throw new Error('no identity of this process');
  const connecting = waitForSocket({ path, process: process_ });
  await echoServer(path);
  await expectEcho(connecting);
});

test('an abort rejects with its reason, before and during', async () => {
  const path = join(temporaryFolder(), 'none');
  const reason = new Error('mine');
  await expect(waitForSocket({ path, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const controller = new AbortController();
  const waiting = waitForSocket({ path, signal: controller.signal, deadline: Infinity });
  setImmediate(() => controller.abort(reason));
  await expect(waiting).rejects.toBe(reason);
});

test('an abort wins over a connection that nobody has taken yet', async () => {
  const path = join(temporaryFolder(), 's');
  await echoServer(path);
  const before = openDescriptors();
  const reason = new Error('mine');
  const controller = new AbortController();
  const connecting = waitForSocket({ path, signal: controller.signal });
  // The other thread connects while this one sits still; whether it was quick enough or not, the outcome is
  // the same.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  controller.abort(reason);
  await expect(connecting).rejects.toBe(reason);
  await expect.poll(openDescriptors).toBe(before);
});

test('what can never become a socket is an error at once', async () => {
  const folder = temporaryFolder();
  await echoServer(join(folder, 's'));
  writeFileSync(join(folder, 'file'), '');
  symlinkSync('s', join(folder, 'link'));
  for (const [name, code] of [
    ['file', 'ENOTSOCK'],
    ['link', 'ELOOP'],
    ['file/s', 'ENOTDIR'],
    ['x'.repeat(300), 'ENAMETOOLONG'],
  ]) {
    const path = join(folder, name ?? '');
    expect(await rejection(waitForSocket({ path, deadline: Infinity }))).toMatchObject({ code, path });
  }
});
