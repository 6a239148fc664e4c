import { once } from 'node:events';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { spawnProcess, waitForSocket, waitForVsock } from '../dist/index.js';
import { rejection, temporaryFolder } from './fixture.js';
import { VsockDevice } from './vsock-device.js';

const PORT = 52;

async function text(connecting: ReturnType<typeof waitForVsock>): Promise<string> {
  let all = '';
  for await (const chunk of await connecting) all += String(chunk);
  return all;
}

test('yields the stream behind the answer, without losing what came with it', async () => {
  const device = await VsockDevice.listen(join(temporaryFolder(), 'v'));
  const much = 'x'.repeat(300_000);
  device.serve(PORT, (socket) => socket.end(`OK 1073741824\nOK 7\n${much}`));
  device.boot();
  expect(await text(waitForVsock({ path: device.path, port: PORT }))).toBe(`OK 7\n${much}`);
});

test('reads an answer that comes byte by byte', async () => {
  const device = await VsockDevice.listen(join(temporaryFolder(), 'v'));
  device.serve(PORT, (socket) => {
    const bytes = [...'OK 1234\nhello'];
    const next = (): void => {
      const byte = bytes.shift();
      if (byte === undefined) socket.end();
      else socket.write(byte, () => setImmediate(next));
    };
    next();
  });
  device.boot();
  expect(await text(waitForVsock({ path: device.path, port: PORT }))).toBe('hello');
});

test('talks both ways, and half-closes when asked', async () => {
  const device = await VsockDevice.listen(join(temporaryFolder(), 'v'));
  device.serve(PORT, (socket) => {
    socket.write('OK 1\n');
    socket.on('end', () => socket.end('after your end'));
    socket.resume();
  });
  device.boot();
  const socket = await waitForVsock({ path: device.path, port: PORT, allowHalfOpen: true });
  socket.end('bye');
  expect(await text(Promise.resolve(socket))).toBe('after your end');
});

test('the first case: waits for a socket that is not there yet', async () => {
  const path = join(temporaryFolder(), 'v');
  expect(await rejection(waitForVsock({ path, port: PORT, deadline: 10 }))).toMatchObject({
    code: 'ETIMEDOUT',
    stage: 'no-socket',
  });
  const connecting = waitForVsock({ path, port: PORT });
  const device = await VsockDevice.listen(path);
  device.serve(PORT, (socket) => socket.end('OK 1\nready'));
  device.boot();
  expect(await text(connecting)).toBe('ready');
});

test('the second case: overlaps attempts while nobody answers, and takes the first answer', async () => {
  const device = await VsockDevice.listen(join(temporaryFolder(), 'v'));
  expect(await rejection(waitForVsock({ path: device.path, port: PORT, deadline: 150 }))).toMatchObject({
    code: 'ETIMEDOUT',
    stage: 'no-answer',
    message: expect.stringContaining('accepted, but no answer') as string,
  });
  let answered = 0;
  device.serve(PORT, (socket) => {
    answered += 1;
    socket.write(`OK ${answered}\n`);
    socket.end(String(answered));
  });
  const before = device.connections;
  const connecting = waitForVsock({ path: device.path, port: PORT });
  await device.asked(before + 3);
  device.boot();
  // Whichever it took, it is one that answered and lives.
  expect(Number(await text(connecting))).toBeGreaterThan(0);
});

test('an attempt that is lost does not hold up the next one', async () => {
  const device = await VsockDevice.listen(join(temporaryFolder(), 'v'));
  let asked = 0;
  device.serve(PORT, (socket) => {
    asked += 1;
    if (asked > 1) socket.end('OK 2\nsecond');
  });
  device.boot();
  expect(await text(waitForVsock({ path: device.path, port: PORT }))).toBe('second');
});

test('keeps at most four attempts', async () => {
  const device = await VsockDevice.listen(join(temporaryFolder(), 'v'));
  const open = new Set<number>();
  let most = 0;
  let asked = 0;
  device.serve(PORT, (socket) => {
    asked += 1;
    const id = asked;
    open.add(id);
    most = Math.max(most, open.size);
    socket.once('close', () => open.delete(id));
    socket.on('end', () => socket.destroy());
    socket.resume();
    if (asked === 7) socket.end('OK 7\nlast');
  });
  device.boot();
  expect(await text(waitForVsock({ path: device.path, port: PORT }))).toBe('last');
  // The server may see the oldest one go after it has seen the newest one come.
  expect(most).toBeLessThanOrEqual(5);
});

test('the third case: tries again when it is closed at once', async () => {
  const device = await VsockDevice.listen(join(temporaryFolder(), 'v'));
  device.boot();
  const error = await rejection(waitForVsock({ path: device.path, port: PORT, deadline: 1000 }));
  expect(error).toMatchObject({ code: 'ETIMEDOUT', stage: 'closed' });
  // 2, 4, 8, 16, 32, 50, 50… ms apart: no storm.
  expect(error['attempts']).toBeLessThanOrEqual(26);
  const before = device.connections;
  const connecting = waitForVsock({ path: device.path, port: PORT });
  await device.asked(before + 3);
  device.serve(PORT, (socket) => socket.end('OK 1\nserved'));
  expect(await text(connecting)).toBe('served');
});

test('an answer that is cut off counts as closed', async () => {
  const device = await VsockDevice.listen(join(temporaryFolder(), 'v'));
  const answers = ['OK', 'OK 12', 'OK 3\nwhole'];
  device.serve(PORT, (socket) => socket.end(answers.shift() ?? ''));
  device.boot();
  expect(await text(waitForVsock({ path: device.path, port: PORT }))).toBe('whole');
});

test('refuses an answer that is not Firecracker’s', async () => {
  const device = await VsockDevice.listen(join(temporaryFolder(), 'v'));
  device.serve(PORT, (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n'));
  device.boot();
  expect(await rejection(waitForVsock({ path: device.path, port: PORT }))).toMatchObject({
    code: 'EPROTO',
    stage: 'no-answer',
  });
});

test('the end of the process, an abort and the deadline end it in every case', async () => {
  const folder = temporaryFolder();
  const silent = await VsockDevice.listen(join(folder, 'silent'));
  const closing = await VsockDevice.listen(join(folder, 'closing'));
  closing.boot();
  const paths = [join(folder, 'none'), silent.path, closing.path];
  const child = await spawnProcess({ file: '/bin/sleep', args: ['1000'] });
  const controller = new AbortController();
  const reason = new Error('mine');
  const ended = paths.map((path) => rejection(waitForVsock({ path, port: PORT, process: child })));
  const aborted = paths.map((path) =>
    waitForVsock({ path, port: PORT, signal: controller.signal }).catch((error: unknown) => error),
  );
  await Promise.all([silent.asked(4), closing.asked(6)]);
  controller.abort(reason);
  child.kill('SIGKILL');
  expect(await Promise.all(aborted)).toEqual([reason, reason, reason]);
  expect(await Promise.all(ended)).toMatchObject([
    { code: 'ESRCH', stage: 'no-socket' },
    { code: 'ESRCH', stage: 'no-answer' },
    { code: 'ESRCH', stage: 'closed' },
  ]);
});

test('a thousand waits at once share one thread and all succeed', async () => {
  const device = await VsockDevice.listen(join(temporaryFolder(), 'v'));
  const waits = Array.from({ length: 1000 }, (_, port) => text(waitForVsock({ path: device.path, port })));
  for (let port = 0; port < 1000; ++port) device.serve(port, (socket) => socket.end(`OK 1\n${port}`));
  device.boot();
  expect(await Promise.all(waits)).toEqual(Array.from({ length: 1000 }, (_, port) => String(port)));
});

test('a stream in hand outlives the wait', async () => {
  const device = await VsockDevice.listen(join(temporaryFolder(), 'v'));
  device.serve(PORT, (socket) => {
    socket.write('OK 1\n');
    socket.pipe(socket);
  });
  device.boot();
  const controller = new AbortController();
  const options = { path: device.path, port: PORT, deadline: 5000, signal: controller.signal };
  const socket = await waitForVsock(options);
  controller.abort();
  await rejection(waitForSocket({ path: `${device.path}-none`, deadline: 1 }));
  socket.write('still here');
  expect(String((await once(socket, 'data'))[0])).toBe('still here');
  socket.destroy();
});
