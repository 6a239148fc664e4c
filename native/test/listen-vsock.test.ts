import { once } from 'node:events';
import { existsSync, mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import {
  connectUnix,
  listenVsock,
  spawnProcess,
  type ListenVsockOptions,
  type VsockListener,
} from '../dist/index.js';
import { rejection, temporaryFolder } from './fixture.js';

const PORT = 1024;

async function listener(options: Partial<ListenVsockOptions> = {}): Promise<VsockListener> {
  const listening = await listenVsock({ path: join(temporaryFolder(), 'v'), port: PORT, ...options });
  onTestFinished(() => listening.close());
  return listening;
}

/** The guest's side. */
async function dial(path: string, text: string): Promise<Socket> {
  const socket = new Socket({ fd: await connectUnix(path) });
  onTestFinished(() => void socket.destroy());
  socket.write(text);
  return socket;
}

async function firstText(socket: Socket): Promise<string> {
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return chunk.toString();
}

test('the first connection is the readiness, before or after the call', async () => {
  const listening = await listener();
  expect(listening.path).toMatch(/\/v_1024$/);
  const ready = listening.accept();
  await dial(listening.path, 'one');
  expect(await firstText(await ready)).toBe('one');
  await dial(listening.path, 'two');
  expect(await firstText(await listening.accept())).toBe('two');
});

test('what is in the queue waits for the accept', async () => {
  const listening = await listener();
  for (const text of ['a', 'b', 'c']) await dial(listening.path, text);
  for (const text of ['a', 'b', 'c']) expect(await firstText(await listening.accept())).toBe(text);
});

test('several accepts share the connections', async () => {
  const listening = await listener();
  const accepts = [0, 1, 2].map(async () => firstText(await listening.accept()));
  for (const text of ['a', 'b', 'c']) await dial(listening.path, text);
  expect((await Promise.all(accepts)).sort()).toEqual(['a', 'b', 'c']);
});

test('iterates over the connections until it is closed', async () => {
  const listening = await listener();
  const seen: string[] = [];
  await dial(listening.path, 'a');
  for await (const socket of listening) {
    seen.push(await firstText(socket));
    if (seen.length < 3) await dial(listening.path, 'b');
    else setImmediate(() => void listening.close());
  }
  expect(seen).toEqual(['a', 'b', 'b']);
});

test('has the mode that was asked for, whatever the umask', async () => {
  expect(statSync((await listener()).path).mode & 0o777).toBe(0o600);
  expect(statSync((await listener({ mode: 0o666 })).path).mode & 0o777).toBe(0o666);
});

test.skipIf(process.getuid?.() !== 0)('belongs to the user that was asked for, who may connect', async () => {
  const folder = temporaryFolder();
  const listening = await listenVsock({ path: join(folder, 'v'), port: PORT, uid: 12_345, gid: 12_346 });
  onTestFinished(() => listening.close());
  expect(statSync(listening.path)).toMatchObject({ uid: 12_345, gid: 12_346 });
  const onlyGroup = await listenVsock({ path: join(folder, 'v'), port: 1, gid: 12_346, mode: 0o660 });
  onTestFinished(() => onlyGroup.close());
  expect(statSync(onlyGroup.path)).toMatchObject({ uid: 0, gid: 12_346 });
});

test('works at a path of more than 200 characters', async () => {
  const folder = join(temporaryFolder(), 'x'.repeat(200));
  mkdirSync(folder);
  const listening = await listener({ path: join(folder, 'v') });
  const ready = listening.accept();
  await dial(listening.path, 'far');
  expect(await firstText(await ready)).toBe('far');
});

test('the end of the process, an abort, the deadline and a close end an accept', async () => {
  const listening = await listener();
  const child = await spawnProcess({ file: '/bin/sleep', args: ['1000'] });
  const controller = new AbortController();
  const ended = rejection(listening.accept({ process: child }));
  const aborted = listening.accept({ signal: controller.signal });
  const late = rejection(listening.accept({ deadline: 10 }));
  const closed = rejection(listening.accept());
  controller.abort(new Error('mine'));
  child.kill('SIGKILL');
  await expect(aborted).rejects.toThrow('mine');
  const { path } = listening;
  expect(await ended).toMatchObject({ code: 'ESRCH', stage: 'no-connection', syscall: 'accept', path });
  expect(await late).toMatchObject({ code: 'ETIMEDOUT', stage: 'no-connection' });
  await Promise.all([listening.close(), listening.close()]);
  expect(await closed).toMatchObject({ code: 'EBADF', stage: 'no-connection', path });
  expect(await rejection(listening.accept())).toMatchObject({ code: 'EBADF', stage: 'no-connection' });
  expect(existsSync(path)).toBe(false);
});

test('a close removes only its own file, and leaves what was accepted', async () => {
  const listening = await listener();
  const ready = listening.accept();
  const guest = await dial(listening.path, 'x');
  const host = await ready;
  renameSync(listening.path, `${listening.path}.moved`);
  writeFileSync(listening.path, 'of somebody else');
  await listening.close();
  expect(existsSync(listening.path)).toBe(true);
  host.write('still here');
  expect(await firstText(guest)).toBe('still here');
  host.destroy();
});

test('after a close nobody can connect', async () => {
  const listening = await listener();
  renameSync(listening.path, `${listening.path}.moved`);
  await listening.close();
  expect(await rejection(connectUnix(`${listening.path}.moved`))).toMatchObject({ code: 'ECONNREFUSED' });
});

test('a file that is there, a folder that is not and a name too long are errors', async () => {
  const { path } = await listener();
  const base = path.slice(0, -`_${PORT}`.length);
  expect(await rejection(listenVsock({ path: base, port: PORT }))).toMatchObject({
    code: 'EADDRINUSE',
    syscall: 'bind',
    path,
  });
  expect(await rejection(listenVsock({ path: join(base, 'no', 'v'), port: 1 }))).toMatchObject({
    code: 'ENOENT',
    path: `${join(base, 'no', 'v')}_1`,
  });
  expect(await rejection(listenVsock({ path: base + 'n'.repeat(120), port: 1 }))).toMatchObject({
    code: 'ENAMETOOLONG',
  });
});

test('an abort while it is made removes it again', async () => {
  const path = join(temporaryFolder(), 'v');
  const reason = new Error('mine');
  const controller = new AbortController();
  const listening = listenVsock({ path, port: PORT, signal: controller.signal });
  controller.abort(reason);
  await expect(listening).rejects.toBe(reason);
  expect(existsSync(`${path}_${PORT}`)).toBe(false);
  await expect(listenVsock({ path, port: PORT, signal: controller.signal })).rejects.toBe(reason);
});
