import { closeSync, fstatSync, mkdirSync, openSync, statSync, writeFileSync } from 'node:fs';
import { createServer, Socket, type Server } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import {
  closeDescriptor,
  connectUnix,
  listenUnix,
  sendDescriptors,
  socketPair,
  spawnProcess,
} from '../dist/index.js';
import { openDescriptors, rejection, temporaryFolder } from './fixture.js';

async function echoServer(path: string): Promise<Server> {
  const server = createServer((socket) => socket.pipe(socket)).listen({ fd: await listenUnix(path) });
  onTestFinished(() => void server.close());
  return server;
}

async function echo(path: string, text: string): Promise<string> {
  const socket = new Socket({ fd: await connectUnix(path) });
  socket.end(text);
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  return answer;
}

test('talks over a socket at a path of 200 characters and more', async () => {
  const folder = join(temporaryFolder(), 'x'.repeat(100), 'y'.repeat(100));
  mkdirSync(folder, { recursive: true });
  for (const name of ['a', 'b']) await echoServer(join(folder, name));
  expect(await echo(join(folder, 'a'), 'to a')).toBe('to a');
  expect(await echo(join(folder, 'b'), 'to b')).toBe('to b');
  expect(statSync(join(folder, 'a')).mode & 0o777).toBe(0o600);
});

test('the mode is the one asked for', async () => {
  const path = join(temporaryFolder(), 's');
  closeSync(await listenUnix(path, { mode: 0o666 }));
  expect(statSync(path).mode & 0o777).toBe(0o666);
});

test('errors have code, syscall and path, and no descriptor is left', async () => {
  const folder = temporaryFolder();
  const before = openDescriptors();
  const path = join(folder, 'z'.repeat(120), 'none');
  expect(await rejection(connectUnix(path))).toMatchObject({ code: 'ENOENT', errno: -2, path });
  closeSync(await listenUnix(join(folder, 'dead')));
  expect(await rejection(connectUnix(join(folder, 'dead')))).toMatchObject({
    code: 'ECONNREFUSED',
    syscall: 'connect',
  });
  expect(await rejection(listenUnix(join(folder, 'dead')))).toMatchObject({
    code: 'EADDRINUSE',
    syscall: 'bind',
  });
  expect(openDescriptors()).toBe(before);
  // @ts-expect-error wrong on purpose
  expect(() => listenUnix(join(folder, 'x'), { mode: 'x' })).toThrow(TypeError);
  expect(() => listenUnix(join(folder, 'x'), { mode: 0o1000 })).toThrow(TypeError);
});

// Node's own IPC takes handles as SCM_RIGHTS with a JSON line: a foreign receiver.
const RECEIVER = `
  process.on('message', (message, handle) => {
    handle.on('data', (data) => handle.end(message + ':' + data));
  });
`;

test('descriptors arrive in another process, open and usable', async () => {
  const folder = temporaryFolder();
  const script = join(folder, 'receiver.cjs');
  writeFileSync(script, RECEIVER);
  const channel = await listenUnix(join(folder, 'channel'));
  const ours = await connectUnix(join(folder, 'channel'));
  const accepted = await new Promise<Socket>((resolve) => {
    const server = createServer({ pauseOnConnect: true }, (socket) => {
      server.close();
      resolve(socket);
    }).listen({ fd: channel });
  });
  const theirs = (accepted as unknown as { _handle: { fd: number } })._handle.fd;
  const child = await spawnProcess({
    file: process.execPath,
    args: [script],
    env: { ...process.env, NODE_CHANNEL_FD: '3' },
    fds: [null, 1, 2, theirs],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  accepted.destroy();

  const passed = await listenUnix(join(folder, 'passed'));
  const answers = new Promise<string>((resolve) => {
    const listener = createServer((socket) => {
      socket.write('ping');
      socket.on('data', (data) => resolve(data.toString()));
    }).listen({ fd: passed });
    onTestFinished(() => void listener.close());
  });
  const sent = await connectUnix(join(folder, 'passed'));
  const line = JSON.stringify({ cmd: 'NODE_HANDLE', type: 'net.Socket', msg: 'hello' });
  sendDescriptors(ours, Buffer.from(`${line}\n`), [sent]);
  closeSync(sent);
  expect(await answers).toBe('hello:ping');
  closeSync(ours);
});

test('two ends of a connection without a path', async () => {
  const [first, second] = socketPair();
  const socket = new Socket({ fd: first, readable: true, writable: true });
  const peer = new Socket({ fd: second, readable: true, writable: true });
  peer.pipe(peer);
  socket.end('hello');
  expect(await text(socket)).toBe('hello');
});

test('a descriptor is closed once', () => {
  const [first, second] = socketPair();
  closeDescriptor(first);
  expect(() => closeDescriptor(first)).toThrow('EBADF');
  expect(() => fstatSync(first)).toThrow('EBADF');
  expect(fstatSync(second).isSocket()).toBe(true);
  closeDescriptor(second);
});

test('wrong arguments and descriptors of sendDescriptors', () => {
  const fd = openSync('/dev/null', 'r');
  onTestFinished(() => closeSync(fd));
  expect(() => sendDescriptors(fd, Buffer.from('x'), [fd])).toThrow(
    expect.objectContaining({ code: 'ENOTSOCK', syscall: 'sendmsg' }),
  );
  expect(() => sendDescriptors(fd, new Uint8Array(), [fd])).toThrow(TypeError);
  expect(() => sendDescriptors(fd, Buffer.from('x'), [])).toThrow(TypeError);
  expect(() => sendDescriptors(fd, Buffer.from('x'), Array<number>(254).fill(fd))).toThrow(TypeError);
  // @ts-expect-error wrong on purpose
  expect(() => sendDescriptors(fd, 'x', [fd])).toThrow(TypeError);
  expect(fstatSync(fd).isCharacterDevice()).toBe(true);
});
