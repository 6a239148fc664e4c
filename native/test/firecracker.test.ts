import { accessSync, constants, existsSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import type { Socket } from 'node:net';
import { delimiter, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import {
  listenVsock,
  spawnProcess,
  waitForSocket,
  waitForVsock,
  type SpawnedProcess,
} from '../dist/index.js';
import { rejection, temporaryFolder } from './fixture.js';

const PORT = 52;

function canUse(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

const folders = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'firecracker'));
const firecracker = [process.env['MICROVM_FIRECRACKER_BIN'] ?? [], folders]
  .flat()
  .find((path) => canUse(path, constants.X_OK));
const hasKvm = canUse('/dev/kvm', constants.R_OK | constants.W_OK);
if (firecracker === undefined) console.warn('skipped: no firecracker in MICROVM_FIRECRACKER_BIN or PATH');
if (!hasKvm) console.warn('skipped: /dev/kvm cannot be used');

const LOAD_ADDRESS = 0x100_0000n;
const HEADER_BYTES = 64;
const SEGMENT_HEADER_BYTES = 56;

/** A kernel that halts for ever: a guest whose vsock driver never comes up, on any host. */
function haltingKernel(): Buffer {
  const code = Buffer.from([0xfa, 0xf4, 0xeb, 0xfd]); // cli; hlt; jmp to hlt
  const header = Buffer.alloc(HEADER_BYTES);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // ELF, 64 bits, little-endian
  header.writeUInt16LE(2, 16); // executable
  header.writeUInt16LE(62, 18); // x86-64
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(LOAD_ADDRESS, 24);
  header.writeBigUInt64LE(BigInt(HEADER_BYTES), 32);
  header.writeUInt16LE(HEADER_BYTES, 52);
  header.writeUInt16LE(SEGMENT_HEADER_BYTES, 54);
  header.writeUInt16LE(1, 56);
  const segment = Buffer.alloc(SEGMENT_HEADER_BYTES);
  segment.writeUInt32LE(1, 0); // to be loaded
  segment.writeUInt32LE(5, 4); // readable, executable
  segment.writeBigUInt64LE(BigInt(HEADER_BYTES + SEGMENT_HEADER_BYTES), 8);
  segment.writeBigUInt64LE(LOAD_ADDRESS, 16);
  segment.writeBigUInt64LE(LOAD_ADDRESS, 24);
  segment.writeBigUInt64LE(BigInt(code.length), 32);
  segment.writeBigUInt64LE(BigInt(code.length), 40);
  return Buffer.concat([header, segment, code]);
}

/** One request to the API over a stream of its own. */
async function put(api: Socket, path: string, body: object): Promise<number | undefined> {
  const text = JSON.stringify(body);
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    const call = request({ createConnection: () => api, method: 'PUT', path, headers }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode));
    });
    call.on('error', reject).end(text);
  });
}

interface Vmm {
  readonly child: SpawnedProcess;
  /** The vsock's socket, as we name it. */
  readonly vsock: string;
  readonly configure: (path: string, body: object) => Promise<void>;
}

async function start(): Promise<Vmm> {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'kernel'), haltingKernel());
  const path = join(folder, 'api.sock');
  const args = ['--api-sock', 'api.sock', '--id', 'waits'];
  const child = await spawnProcess({ file: firecracker ?? '', args, cwd: folder });
  onTestFinished(() => void child.kill('SIGKILL'));
  const configure = async (url: string, body: object): Promise<void> => {
    expect(await put(await waitForSocket({ path, process: child }), url, body)).toBe(204);
  };
  return { child, vsock: join(folder, 'v.sock'), configure };
}

async function boot({ configure }: Vmm): Promise<void> {
  await configure('/boot-source', { kernel_image_path: 'kernel' });
  await configure('/machine-config', { vcpu_count: 1, mem_size_mib: 64 });
  await configure('/vsock', { guest_cid: 3, uds_path: 'v.sock' });
  await configure('/actions', { action_type: 'InstanceStart' });
}

const test_ = test.skipIf(firecracker === undefined || !hasKvm);

test_('the real VMM: its API, then a vsock that takes connections and says nothing', async () => {
  const vmm = await start();
  const listening = await listenVsock({ path: vmm.vsock, port: PORT });
  onTestFinished(() => listening.close());
  const early = waitForVsock({ path: vmm.vsock, port: PORT, process: vmm.child, deadline: Infinity });
  const dialled = rejection(listening.accept({ process: vmm.child }));
  const ended = rejection(early);
  await boot(vmm);
  expect(existsSync(vmm.vsock)).toBe(true);
  const silent = waitForVsock({ path: vmm.vsock, port: PORT, process: vmm.child, deadline: 400 });
  expect(await rejection(silent)).toMatchObject({ code: 'ETIMEDOUT', stage: 'no-answer', path: vmm.vsock });
  vmm.child.kill('SIGKILL');
  // Its end closes its connections, which may be seen a moment before.
  expect(await ended).toMatchObject({
    code: 'ESRCH',
    stage: expect.stringMatching(/no-answer|closed|refused/) as string,
  });
  expect(await dialled).toMatchObject({ code: 'ESRCH', stage: 'no-connection' });
  await vmm.child.exited;
  // Firecracker leaves its socket behind.
  expect(await rejection(waitForVsock({ path: vmm.vsock, port: PORT, deadline: 50 }))).toMatchObject({
    code: 'ETIMEDOUT',
    stage: 'refused',
  });
});

test_('the real VMM: one that dies early ends the wait for its API at once', async () => {
  const folder = temporaryFolder();
  const args = ['--api-sock', 'api.sock', '--no-such-option'];
  const child = await spawnProcess({ file: firecracker ?? '', args, cwd: folder });
  const waiting = waitForSocket({ path: join(folder, 'api.sock'), process: child, deadline: Infinity });
  expect(await rejection(waiting)).toMatchObject({ code: 'ESRCH', stage: 'no-socket' });
  expect((await child.exited).exitCode).not.toBe(0);
});
