import { lstat, readFile, readlink, stat } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { faultyFirecracker, type FaultRule } from '../src/index.js';
import { newFolder, startVmm } from './fixture.js';
import type { VmmProcess } from './vmm-process.js';

const GET = 'GET /version HTTP/1.1\r\n\r\n';

async function hostile(rule: Omit<FaultRule, 'on'>): Promise<VmmProcess> {
  const program = await faultyFirecracker(await newFolder(), [{ on: 'GET /version', ...rule }]);
  return startVmm(await newFolder(), program);
}

/** Asks once; answers with what came until there were so many bytes, or until the VMM hung up. */
async function heard(vmm: VmmProcess, bytes: number): Promise<string> {
  const socket: Socket = connect(join(vmm.directory, 'api.sock'));
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  socket.write(GET);
  let text = '';
  for await (const chunk of socket) {
    text += (chunk as Buffer).toString();
    if (text.length >= bytes) break;
  }
  return text;
}

it.each<[FaultRule['do'], Partial<FaultRule>, number, RegExp]>([
  ['endless', {}, 1 << 20, /^HTTP\/1\.1 200 \r\n.*Content-Length: 4611686018427387904\r\n\r\nx+$/s],
  ['rant', { bytes: 1 << 20, message: 'no' }, 1 << 20, /^HTTP\/1\.1 400 .*\{"fault_message":"nox+/s],
  ['drip', { ms: 1 }, 60, /^HTTP\/1\.1 200 \r\nX-Slow: x+$/],
  ['too-long', { message: 'abc' }, 70, /Content-Length: 103\r\n\r\nabc$/],
  ['too-short', { message: 'abc' }, 60, /Content-Length: 1\r\n\r\nabc$/],
  ['say', { status: 200, message: '{}' }, 60, /^HTTP\/1\.1 200 .*\r\n\r\n\{\}$/s],
  ['cut', { code: 7 }, 1 << 20, /^HTTP\/1\.1 204$/],
])('a VMM that somebody has taken over can answer by "%s"', async (act, rule, bytes, expected) => {
  const vmm = await hostile({ do: act, ...rule });
  expect(await heard(vmm, bytes)).toMatch(expected);
  if (act === 'cut') expect(await vmm.exited).toEqual({ code: 7, signal: null });
  // Whoever has hung up has let the VMM go.
  else expect((await vmm.ask('GET', '/version')).status).toBe(200);
});

it('a VMM that somebody has taken over can do as it likes with its files', async () => {
  const path = 'mine';
  const grown = await hostile({ do: 'grow', path, bytes: 2 ** 40 });
  await grown.must('GET', '/version');
  expect((await stat(join(grown.directory, path))).size).toBe(2 ** 40);
  const filled = await hostile({ do: 'fill', path, bytes: 100_000 });
  await filled.must('GET', '/version');
  expect(await readFile(join(filled.directory, path), 'utf8')).toBe('x'.repeat(100_000));
  const linked = await hostile({ do: 'link', path: 'api.sock', message: '/etc' });
  await linked.must('GET', '/version');
  expect(await readlink(join(linked.directory, 'api.sock'))).toBe('/etc');
  for (const act of ['fifo', 'socket', 'folder'] as const) {
    const vmm = await hostile({ do: act, path });
    await vmm.must('GET', '/version');
    const stats = await lstat(join(vmm.directory, path));
    expect([stats.isFIFO(), stats.isSocket(), stats.isDirectory()]).toEqual(
      ['fifo', 'socket', 'folder'].map((kind) => kind === act),
    );
  }
});
