import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fetchNodes, installInto, packAll, publicPackages, type Consumer } from './packed-packages.js';

const folder = mkdtempSync(join(tmpdir(), 'microvm-packaging-'));
const MAJORS = [20, 22, 24];
let consumer: Consumer;
let nodes: ReadonlyMap<number, string>;

beforeAll(async () => {
  consumer = await installInto(folder, await packAll(folder));
  nodes = await fetchNodes(MAJORS, folder);
});
afterAll(() => rmSync(folder, { recursive: true }));

/**
 * The addon: a process, a probe, files, waits; a VM of the in-memory adapter; the addon in a worker thread.
 */
const USE = `
  import { Worker, isMainThread } from 'node:worker_threads';
  import { createServer } from 'node:net';
  import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
  import { tmpdir } from 'node:os';
  import { join } from 'node:path';
  import { bootId, copyFile, digestFile, listenVsock, probeKvm, spawnProcess, waitForVsock } from '@microvm/native';
  import { createInMemoryRuntime } from '@microvm/in-memory';
  const child = await spawnProcess({ file: '/bin/sh', args: ['-c', 'exit 7'] });
  const { exitCode } = await child.ref().exited;
  const { stages, findings } = await probeKvm();
  const runtime = await createInMemoryRuntime();
  await runtime.createVm('a');
  const { state } = await runtime.startVm('a');
  await runtime.close();
  const folder = mkdtempSync(join(tmpdir(), 'microvm-packaging-use-'));
  const [from, to, vsock] = ['from', 'to', 'v'].map((name) => join(folder, name));
  writeFileSync(from, 'x'.repeat(1 << 20));
  await copyFile(from, to);
  const [{ root }, copied] = await Promise.all([digestFile(from), digestFile(to)]);
  // As Firecracker answers, with the guest's first bytes right behind.
  const server = createServer((socket) => socket.once('data', (line) => {
    socket.end(String(line) === 'CONNECT 5\\n' ? 'OK 1024\\nguest' : '');
  }));
  await new Promise((resolve) => server.listen(vsock, resolve));
  let said = '';
  for await (const bytes of await waitForVsock({ path: vsock, port: 5 })) said += bytes;
  await new Promise((resolve) => server.close(resolve));
  const listener = await listenVsock({ path: vsock + '-out', port: 5 });
  await listener.close();
  rmSync(folder, { recursive: true });
  const inWorker = new Worker(
    "import('node:worker_threads').then(async ({ parentPort }) => parentPort.postMessage((await import('@microvm/native')).bootId()))",
    { eval: true },
  );
  const theirs = await new Promise((resolve, reject) => inWorker.once('message', resolve).once('error', reject));
  console.log(JSON.stringify({
    node: Number(process.versions.node.split('.')[0]),
    exitCode,
    state,
    probed: stages.length + findings.length > 0,
    sameBoot: bootId() === theirs,
    sameCopy: root === copied.root && root.length === 64,
    said,
  }));
`;

const USED = {
  exitCode: 7,
  state: 'running',
  probed: true,
  sameBoot: true,
  sameCopy: true,
  said: 'guest',
};

test('no package asks for an install script', () => {
  for (const { name, scripts = {} } of publicPackages()) {
    const hooks = ['preinstall', 'install', 'postinstall', 'prepare'].filter((hook) => hook in scripts);
    expect(hooks, name).toEqual([]);
  }
});

test('every public package is installed, and imports', async () => {
  const installed = readdirSync(join(consumer.folder, 'node_modules/@microvm'));
  const names = publicPackages().map(({ name }) => name);
  expect(installed.map((name) => `@microvm/${name}`).sort()).toEqual(names.toSorted());
  for (const name of names) await consumer.runModule(`await import('${name}');`);
});

test('works in the Node that installed it', async () => {
  const node = Number(process.versions.node.split('.')[0]);
  expect(JSON.parse(await consumer.runModule(USE))).toEqual({ node, ...USED });
});

test.each(MAJORS)('works in Node %i from the registry', async (major) => {
  expect(JSON.parse(await consumer.runModule(USE, nodes.get(major)))).toEqual({ node: major, ...USED });
});

const FIRST_VM = `
  import { createMicrovm } from '@microvm/sdk';
  const microvm = createMicrovm({ driver: 'qemu' });
  const vm = await microvm.create();
  const { stdout } = await vm.exec('uname -r');
  await vm.destroy();
  console.log(stdout.trim());
`;

test('a first VM needs neither apt nor a compiler: its kernel is in the package of the default image', async () => {
  const base = join(consumer.folder, 'node_modules/@microvm/default-image/base');
  const { facts } = JSON.parse(readFileSync(join(base, 'manifest.json'), 'utf8')) as {
    facts: { kernelRelease: string };
  };
  expect(await consumer.runModule(FIRST_VM)).toBe(`${facts.kernelRelease}\n`);
  expect(readdirSync(join(base, 'licences'))).toHaveLength(2);
});

test('the binary exports the two entry points of Node-API, and needs no C++ library', () => {
  const prebuilds = join(consumer.folder, 'node_modules/@microvm/native/prebuilds');
  const files = readdirSync(join(prebuilds, `${process.platform}-${process.arch}`));
  const binary = files.find((name) => name.endsWith('.node')) ?? '';
  const path = join(prebuilds, `${process.platform}-${process.arch}`, binary);
  const symbols = execFileSync('nm', ['-D', '--defined-only', path], { encoding: 'utf8' }).trim().split('\n');
  expect(symbols.map((line) => line.split(' ').at(-1)).sort()).toEqual([
    'napi_register_module_v1',
    'node_api_module_get_api_version_v1',
  ]);
  const needs = execFileSync('readelf', ['-d', path], { encoding: 'utf8' });
  expect(needs).not.toMatch(/libstdc\+\+|libgcc|libcrypto/);
  expect(files).toContain('microvm-watcher');
});

const LOAD = `
  import { createInMemoryRuntime } from '@microvm/in-memory';
  import { bootId } from '@microvm/native';
  const runtime = await createInMemoryRuntime();
  await runtime.createVm('a');
  const { state } = await runtime.startVm('a');
  await runtime.close();
  try { bootId(); } catch (error) { console.log(JSON.stringify({ state, code: error.code, message: error.message })); }
`;

test('a binary that is missing or does not fit says why; the in-memory adapter works without', async () => {
  const native = join(consumer.folder, 'node_modules/@microvm/native');
  const kept = join(folder, 'prebuilds');
  cpSync(join(native, 'prebuilds'), kept, { recursive: true });
  try {
    const host = `${process.platform}-${process.arch}`;
    for (const name of readdirSync(join(native, 'prebuilds', host)).filter((file) => file.endsWith('.node')))
      writeFileSync(join(native, 'prebuilds', host, name), 'not for this system');
    const unfit = JSON.parse(await consumer.runModule(LOAD)) as Record<string, string>;
    expect(unfit).toMatchObject({ state: 'running', code: 'MICROVM_NATIVE_NOT_LOADED' });
    expect(unfit['message']).toMatch(/A binary is there, but this system refuses it/);
    renameSync(join(native, 'prebuilds', host), join(native, 'prebuilds', 'linux-none'));
    const missing = JSON.parse(await consumer.runModule(LOAD)) as Record<string, string>;
    expect(missing).toMatchObject({ state: 'running', code: 'MICROVM_NATIVE_NOT_LOADED' });
    expect(missing['message']).toMatch(/has binaries for: linux-none/);
  } finally {
    rmSync(join(native, 'prebuilds'), { recursive: true });
    cpSync(kept, join(native, 'prebuilds'), { recursive: true });
  }
});
