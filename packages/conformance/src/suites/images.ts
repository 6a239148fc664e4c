import type { ExecRequest, VmRuntime, VmSpec, VmView } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import type { SuiteImage } from '../factory.js';
import type { ProviderFixture } from '../fixture.js';
import { refusal, viewOf, withoutEffect } from '../expectations.js';

const FIRST: SuiteImage = {
  files: {
    '/etc/origin': 'first\n',
    '/etc/spare': 'of the image\n',
    '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n',
    '/etc/group': 'root:x:0:\napp:x:1000:\n',
  },
  config: {
    env: { A: 'of image', B: 'of image', C: 'of image', HOME: '/of/image' },
    // The image has no such folder.
    workingDir: '/srv/app',
    user: 'app',
    entrypoint: ['/bin/sh', '-c'],
    cmd: ['echo "$A in $(pwd) as $(id -un)"'],
  },
};
const SAYS = 'of image in /srv/app as app';
const SECOND: SuiteImage = { ...FIRST, files: { ...FIRST.files, '/etc/origin': 'second\n' } };

/** VMs that are made from images. */
export function registerImages(fixture: ProviderFixture): void {
  if (!fixture.capabilities.spec.image) return;
  describe('images', () => {
    test('that are not there are refused before any effect', () => refusesUnknown(fixture));
    test('do not go with another root drive, without an agent, or with their drive’s id', () =>
      refusesFields(fixture));
    test('are in the view of a VM, by name and by digest', () => areShown(fixture));
    test('answer a repeated create with the VM of the first one, whatever the name means by then', () =>
      areReplayed(fixture));
    if (canBoot(fixture)) registerGuests(fixture);
    else test.skip('are what guests run: not here, where no guest can mount one', () => undefined);
  });
}

function canBoot({ factory: { hasLiveGuests = true, images } }: ProviderFixture): boolean {
  return hasLiveGuests && images?.boot !== false;
}

function registerGuests(fixture: ProviderFixture): void {
  test('give variables below those of the VM and of the command', () => giveVariables(fixture));
  test('say where commands start and as whom, unless the command does', () => sayWhereAndWho(fixture));
  test('say what runs where a command has no arguments', () => sayWhatRuns(fixture));
  test('with a user that they do not know start, and fail commands without another one', () =>
    failUnknownUsers(fixture));
  test('are shared: what one VM writes, no other VM sees', () => areShared(fixture));
  test('and what was written and removed above them outlive a stop', () => outliveStops(fixture));
  test('get a disk of the size that was asked for', () => haveRoom(fixture));
  test('stay those of a VM when their name is moved', () => stay(fixture));
  if (fixture.capabilities.memorySnapshot)
    test('belong to a snapshot of a running VM, and boot again after it', () => areCaptured(fixture, true));
  if (fixture.capabilities.diskSnapshot)
    test('belong to a snapshot of disks', () => areCaptured(fixture, false));
  if (fixture.isDurable) test('are known to the next owner', () => outliveOwners(fixture));
}

let count = 0;

/** A name of the test's own, which stands for the image from now on. */
async function tag(
  fixture: ProviderFixture,
  image: SuiteImage,
  name = `suite-${(count += 1)}`,
): Promise<{ readonly name: string; readonly digest: string }> {
  const { images } = fixture.factory;
  if (images === undefined) throw new Error('the factory has capabilities.spec.image, but no images');
  return { name, digest: await images.tag(name, image) };
}

async function create(
  fixture: ProviderFixture,
  runtime: VmRuntime,
  spec: VmSpec,
): Promise<VmView & { readonly vmId: string }> {
  return runtime.createVmWithSpec(fixture.newId(), fixture.specOfImage(spec));
}

/** A running VM of this image. */
async function run(
  fixture: ProviderFixture,
  image: string,
  spec: VmSpec = {},
): Promise<{ readonly runtime: VmRuntime; readonly vmId: string }> {
  const runtime = await fixture.open();
  const { vmId } = await create(fixture, runtime, { image, ...spec });
  await runtime.startVm(vmId);
  return { runtime, vmId };
}

async function output(runtime: VmRuntime, vmId: string, request: ExecRequest): Promise<string> {
  const guest = await runtime.guest(vmId);
  const { exitCode, stdout, stderr } = await guest.exec({ input: '', ...request }).result;
  expect({ exitCode, stderr: stderr.toString() }).toEqual({ exitCode: 0, stderr: '' });
  return stdout.toString().trim();
}

function shell(runtime: VmRuntime, vmId: string, script: string): Promise<string> {
  return output(runtime, vmId, { argv: ['/bin/sh', '-c', script], user: 'root', cwd: '/' });
}

async function refusesUnknown(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  await withoutEffect(runtime, async () => {
    for (const image of ['nobody-has-this', `sha256:${'0'.repeat(64)}`]) {
      const { details } = await refusal('MICROVM_IMAGE_NOT_FOUND', create(fixture, runtime, { image }));
      expect(details).toEqual({ image });
    }
  });
}

async function refusesFields(fixture: ProviderFixture): Promise<void> {
  const { name: image } = await tag(fixture, FIRST);
  const runtime = await fixture.open();
  const drive = { driveId: 'image', path: '/nowhere' };
  const wrong: readonly (readonly [path: string, spec: VmSpec])[] = [
    ['spec.rootDrive', { rootDrive: { path: '/nowhere' } }],
    ['spec.agent', { agent: 'none' }],
    ['spec.drives', { drives: [drive] }],
    ['spec.rootSizeMib', { rootSizeMib: 0 }],
    ['spec.rootSizeMib', { rootSizeMib: 15 }],
  ];
  await withoutEffect(runtime, async () => {
    for (const [path, spec] of wrong) {
      const call = runtime.createVmWithSpec(fixture.newId(), { image, ...spec });
      expect((await refusal('MICROVM_INVALID_ARGUMENT', call)).details.path).toBe(path);
    }
  });
}

async function areShown(fixture: ProviderFixture): Promise<void> {
  const { name, digest } = await tag(fixture, FIRST);
  const runtime = await fixture.open();
  const view = await create(fixture, runtime, { image: name });
  expect(view).toMatchObject({ spec: { image: name, rootSizeMib: 1024 }, image: { name, digest } });
  expect(view.spec).not.toHaveProperty('rootDrive');
  expect(await viewOf(runtime, view.vmId)).toEqual(view);
  const byDigest = await create(fixture, runtime, { image: digest });
  expect(byDigest.image).toEqual({ name: digest, digest });
}

async function areReplayed(fixture: ProviderFixture): Promise<void> {
  const { name, digest } = await tag(fixture, FIRST);
  const runtime = await fixture.open();
  const vmId = fixture.newId();
  const spec = fixture.specOfImage({ image: name });
  const idempotencyKey = `create-${vmId}`;
  const first = await runtime.createVmWithSpec(vmId, spec, { idempotencyKey });
  await tag(fixture, SECOND, name);
  const again = await runtime.createVmWithSpec(vmId, spec, { idempotencyKey });
  expect(again).toMatchObject({ instanceId: first.instanceId, image: { digest } });
  const other = { ...spec, image: digest };
  await refusal('MICROVM_IDEMPOTENCY_CONFLICT', runtime.createVmWithSpec(vmId, other, { idempotencyKey }));
}

async function giveVariables(fixture: ProviderFixture): Promise<void> {
  const { name } = await tag(fixture, FIRST);
  const { runtime, vmId } = await run(fixture, name, { env: { B: 'of vm', C: 'of vm' } });
  const variables = async (): Promise<string[]> =>
    (await output(runtime, vmId, { argv: ['env'], user: 'root', env: { C: 'of command' } })).split('\n');
  expect(await variables()).toEqual(expect.arrayContaining(['A=of image', 'B=of vm', 'C=of command']));
  // What is removed is the VM's own variable: that of the image is under it.
  await runtime.setEnv(vmId, { B: null });
  expect(await variables()).toEqual(expect.arrayContaining(['A=of image', 'B=of image']));
}

async function sayWhereAndWho(fixture: ProviderFixture): Promise<void> {
  const { name } = await tag(fixture, FIRST);
  const { runtime, vmId } = await run(fixture, name);
  const argv = ['/bin/sh', '-c', 'pwd; id -un; cat /etc/origin'] as const;
  expect(await output(runtime, vmId, { argv })).toBe('/srv/app\napp\nfirst');
  expect(await output(runtime, vmId, { argv, cwd: '/etc' })).toBe('/etc\napp\nfirst');
  expect(await output(runtime, vmId, { argv, user: 'root' })).toBe('/srv/app\nroot\nfirst');
}

async function sayWhatRuns(fixture: ProviderFixture): Promise<void> {
  const { name } = await tag(fixture, FIRST);
  const { runtime, vmId } = await run(fixture, name);
  expect(await output(runtime, vmId, {})).toBe(SAYS);
  expect(await output(runtime, vmId, { env: { A: 'of command' }, cwd: '/etc', user: 'root' })).toBe(
    'of command in /etc as root',
  );
  const silent = { ...FIRST, config: { ...FIRST.config, entrypoint: [], cmd: [] } };
  const other = await run(fixture, (await tag(fixture, silent)).name);
  const guest = await other.runtime.guest(other.vmId);
  const { details } = await refusal('MICROVM_EXEC_FAILED', guest.exec({ input: '' }).result);
  expect(details.step).toBe('argv');
}

async function failUnknownUsers(fixture: ProviderFixture): Promise<void> {
  const stranger = { ...FIRST, config: { ...FIRST.config, user: 'nobody-knows-me' } };
  const { name } = await tag(fixture, stranger);
  const { runtime, vmId } = await run(fixture, name);
  const guest = await runtime.guest(vmId);
  const { details } = await refusal('MICROVM_EXEC_FAILED', guest.exec({ argv: ['env'], input: '' }).result);
  expect(details.step).toBe('user');
  expect(await shell(runtime, vmId, 'id -un')).toBe('root');
}

async function areShared(fixture: ProviderFixture): Promise<void> {
  const { name, digest } = await tag(fixture, FIRST);
  const first = await run(fixture, name);
  const second = await run(fixture, name);
  const look = 'cat /etc/origin; cat /etc/spare /etc/new 2> /dev/null || true';
  const change = 'echo changed > /etc/origin; rm /etc/spare; echo mine > /etc/new';
  await shell(first.runtime, first.vmId, change);
  expect(await shell(first.runtime, first.vmId, look)).toBe('changed\nmine');
  expect(await shell(second.runtime, second.vmId, look)).toBe('first\nof the image');
  const third = await run(fixture, digest);
  expect(await shell(third.runtime, third.vmId, look)).toBe('first\nof the image');
  expect((await viewOf(third.runtime, third.vmId)).image?.digest).toBe(digest);
}

const CHANGE = 'echo changed > /etc/origin; rm /etc/spare; mkdir -p /data; echo kept > /data/file; sync';
const LOOK = 'cat /etc/origin /data/file; ls /etc/spare 2> /dev/null || true';
const CHANGED = 'changed\nkept';

async function outliveStops(fixture: ProviderFixture): Promise<void> {
  const { name } = await tag(fixture, FIRST);
  const { runtime, vmId } = await run(fixture, name);
  await shell(runtime, vmId, CHANGE);
  await runtime.stopVm(vmId);
  await runtime.startVm(vmId);
  expect(await shell(runtime, vmId, LOOK)).toBe(CHANGED);
  expect(await output(runtime, vmId, {})).toBe(SAYS);
}

async function haveRoom(fixture: ProviderFixture): Promise<void> {
  const { name } = await tag(fixture, FIRST);
  const { runtime, vmId } = await run(fixture, name, { rootSizeMib: 200 });
  const script = 'df -k / | tail -n 1';
  const [, sizeKib] = (await shell(runtime, vmId, script)).split(/ +/);
  // The file system needs some of its disk for itself, such as its journal.
  expect(Number(sizeKib)).toBeGreaterThan(160 * 1024);
  expect(Number(sizeKib)).toBeLessThanOrEqual(200 * 1024);
}

async function stay(fixture: ProviderFixture): Promise<void> {
  const { name, digest } = await tag(fixture, FIRST);
  const { runtime, vmId } = await run(fixture, name);
  const moved = await tag(fixture, SECOND, name);
  expect(moved.digest).not.toBe(digest);
  await runtime.stopVm(vmId);
  await runtime.startVm(vmId);
  expect(await shell(runtime, vmId, 'cat /etc/origin')).toBe('first');
  expect((await viewOf(runtime, vmId)).image).toEqual({ name, digest });
  const later = await run(fixture, name);
  expect(await shell(runtime, later.vmId, 'cat /etc/origin')).toBe('second');
}

async function areCaptured(fixture: ProviderFixture, memory: boolean): Promise<void> {
  const { name, digest } = await tag(fixture, FIRST);
  const { runtime, vmId } = await run(fixture, name);
  await shell(runtime, vmId, CHANGE);
  if (!memory) await runtime.stopVm(vmId);
  const { snapshotUid } = await runtime.snapshotVm(vmId, 'taken');
  if (!fixture.capabilities.concurrentRestores) await runtime.destroyVm(vmId);
  const restoreFrom = { snapshotUid };
  const { digest: other } = await tag(fixture, SECOND, name);
  await withoutEffect(runtime, async () => {
    const call = runtime.createVmWithSpec(fixture.newId(), { restoreFrom, image: other });
    expect((await refusal('MICROVM_INVALID_ARGUMENT', call)).details.path).toBe('spec.image');
  });
  const copy = await runtime.createVmWithSpec(fixture.newId(), { restoreFrom, image: digest });
  expect(copy.image).toEqual({ name, digest });
  if (!memory) await runtime.startVm(copy.vmId);
  expect(await shell(runtime, copy.vmId, LOOK)).toBe(CHANGED);
  expect(await output(runtime, copy.vmId, {})).toBe(SAYS);
  await shell(runtime, copy.vmId, 'echo again > /data/file; sync');
  await runtime.stopVm(copy.vmId);
  await runtime.startVm(copy.vmId);
  expect(await shell(runtime, copy.vmId, 'cat /data/file')).toBe('again');
  expect(await output(runtime, copy.vmId, {})).toBe(SAYS);
}

async function outliveOwners(fixture: ProviderFixture): Promise<void> {
  const { name, digest } = await tag(fixture, FIRST);
  const { runtime, vmId } = await run(fixture, name);
  await shell(runtime, vmId, CHANGE);
  const stopped = await create(fixture, runtime, { image: name });
  await tag(fixture, SECOND, name);
  const next = await fixture.reopen();
  const view = await viewOf(next, vmId);
  expect(view.image).toEqual({ name, digest });
  if (view.state !== 'running') await next.startVm(vmId);
  expect(await shell(next, vmId, LOOK)).toBe(CHANGED);
  expect(await output(next, vmId, {})).toBe(SAYS);
  await next.startVm(stopped.vmId);
  expect(await shell(next, stopped.vmId, 'cat /etc/origin')).toBe('first');
}
