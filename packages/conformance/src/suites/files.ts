import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Guest, GuestFiles, VmRuntimeError } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { refusal } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';

const FOLDER = '/tmp/conformance';

/** The guest's files, by the names of `node:fs/promises`, and trees in and out. */
export function registerFiles(fixture: ProviderFixture): void {
  if (!fixture.capabilities.guestAgent) return;
  describe("the guest's files", () => {
    test('one is written, read, appended to, listed, renamed and removed', () => keepsFiles(fixture));
    test('one is what a command of the guest sees', () => sharesWithCommands(fixture));
    test('what is not there, or not allowed, is refused with the shape of Node', () =>
      refusesAsNode(fixture));
    test('a user sees and changes what the guest lets it', () => actsAsUser(fixture));
    test('an atomic write keeps the mode, and is whole', () => writesAtomically(fixture));
    test('a stream carries what is longer than a message', () => streams(fixture));
    test('an open file is read and written at places', () => opens(fixture));
    test("a signal that has aborted is the call's reason", () => isAbortedBefore(fixture));
    test('wrong arguments are refused', () => refusesArguments(fixture));
    test('a tree goes in, and comes out as it was', () => copiesTrees(fixture));
    test('those of a guest that ended are unreachable', () => losesGuest(fixture));
  });
}

async function run(fixture: ProviderFixture): Promise<{ readonly guest: Guest; readonly files: GuestFiles }> {
  const { vmId } = await fixture.arrange('running');
  const guest = await (await fixture.open()).guest(vmId);
  await guest.files.mkdir(FOLDER, { recursive: true, mode: 0o777 });
  await guest.files.chmod(FOLDER, 0o777);
  return { guest, files: guest.files };
}

async function failure(call: Promise<unknown>): Promise<NodeJS.ErrnoException> {
  return call.then(
    () => {
      throw new Error('it was expected to fail');
    },
    (error: unknown) => error as NodeJS.ErrnoException,
  );
}

async function keepsFiles(fixture: ProviderFixture): Promise<void> {
  const { files } = await run(fixture);
  await files.writeFile(`${FOLDER}/a`, 'one\n', { mode: 0o640 });
  await files.appendFile(`${FOLDER}/a`, Buffer.from('two\n'));
  expect(await files.readFile(`${FOLDER}/a`, 'utf8')).toBe('one\ntwo\n');
  const stats = await files.stat(`${FOLDER}/a`);
  expect([stats.size, stats.mode & 0o777, stats.isFile()]).toEqual([8, 0o640, true]);
  await files.symlink('a', `${FOLDER}/link`);
  expect(await files.readlink(`${FOLDER}/link`)).toBe('a');
  expect((await files.lstat(`${FOLDER}/link`)).isSymbolicLink()).toBe(true);
  await files.rename(`${FOLDER}/a`, `${FOLDER}/b`);
  await files.utimes(`${FOLDER}/b`, 1_000, 2_000);
  expect((await files.stat(`${FOLDER}/b`)).mtimeMs).toBe(2_000_000);
  await files.mkdir(`${FOLDER}/c/d`, { recursive: true });
  expect((await files.readdir(FOLDER)).toSorted()).toEqual(['b', 'c', 'link']);
  expect((await files.readdir(FOLDER, { recursive: true })).toSorted()).toEqual(['b', 'c', 'c/d', 'link']);
  await files.rm(`${FOLDER}/c`, { recursive: true });
  await files.unlink(`${FOLDER}/link`);
  expect(await files.readdir(FOLDER)).toEqual(['b']);
}

async function sharesWithCommands(fixture: ProviderFixture): Promise<void> {
  const { guest, files } = await run(fixture);
  await files.writeFile(`${FOLDER}/text`, 'from the host');
  const { stdout } = await guest.exec({ argv: ['cat', `${FOLDER}/text`] }).result;
  expect(stdout.toString()).toBe('from the host');
  await guest.exec({ argv: ['tee', `${FOLDER}/other`], input: 'from the guest' }).result;
  expect(await files.readFile(`${FOLDER}/other`, 'utf8')).toBe('from the guest');
}

async function refusesAsNode(fixture: ProviderFixture): Promise<void> {
  const { files } = await run(fixture);
  expect(await failure(files.readFile(`${FOLDER}/no`))).toMatchObject({
    ...{ code: 'ENOENT', errno: -2, syscall: 'open', path: `${FOLDER}/no` },
    message: `ENOENT: no such file or directory, open '${FOLDER}/no'`,
  });
  expect(await failure(files.readdir(`${FOLDER}/no`))).toMatchObject({ code: 'ENOENT', syscall: 'scandir' });
  expect(await failure(files.readFile(FOLDER))).toMatchObject({ code: 'EISDIR', syscall: 'read' });
  expect(await failure(files.mkdir(FOLDER))).toMatchObject({ code: 'EEXIST', syscall: 'mkdir' });
  expect(await failure(files.rm(FOLDER))).toMatchObject({ code: 'ERR_FS_EISDIR' });
  await files.writeFile(`${FOLDER}/a`, '');
  expect(await failure(files.rename(`${FOLDER}/no`, `${FOLDER}/b`))).toMatchObject({
    ...{ code: 'ENOENT', syscall: 'rename', path: `${FOLDER}/no`, dest: `${FOLDER}/b` },
  });
  expect(await failure(files.stat(`${FOLDER}/a/b`))).toMatchObject({ code: 'ENOTDIR', syscall: 'stat' });
  expect(await failure(files.stat(`/${'x/'.repeat(3_000)}`))).toMatchObject({ code: 'ENAMETOOLONG' });
}

async function actsAsUser(fixture: ProviderFixture): Promise<void> {
  const { guest, files } = await run(fixture);
  const unknown = await refusal('MICROVM_EXEC_FAILED', files.stat('/', { user: 'nobody-here' }));
  expect(unknown.details.step).toBe('user');
  await files.writeFile(`${FOLDER}/secret`, 'of root', { mode: 0o600 });
  expect(await files.readFile(`${FOLDER}/secret`, { encoding: 'utf8', user: 'root' })).toBe('of root');
  const user = 'nobody';
  if (!(await hasUser(guest, user))) return;
  expect(await failure(files.readFile(`${FOLDER}/secret`, { user }))).toMatchObject({
    ...{ code: 'EACCES', syscall: 'open', path: `${FOLDER}/secret` },
  });
  await files.writeFile(`${FOLDER}/mine`, 'x', { user });
  expect((await files.stat(`${FOLDER}/mine`)).uid).not.toBe((await files.stat(`${FOLDER}/secret`)).uid);
}

/** A guest whose agent is no root of its own has one user. */
async function hasUser(guest: Guest, user: string): Promise<boolean> {
  const { result } = guest.exec({ argv: ['true'], user });
  const error = await result.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error === undefined) return true;
  // Its id has no place in a user namespace of one id.
  expect(error).toMatchObject({ code: 'MICROVM_EXEC_FAILED', details: { step: 'user' } });
  expect(['EPERM', 'EINVAL']).toContain((error as VmRuntimeError<'MICROVM_EXEC_FAILED'>).details.errno);
  return false;
}

async function writesAtomically(fixture: ProviderFixture): Promise<void> {
  const { files } = await run(fixture);
  await files.writeFile(`${FOLDER}/a`, 'old', { mode: 0o604 });
  await files.writeFile(`${FOLDER}/a`, 'new content', { atomic: true });
  expect(await files.readFile(`${FOLDER}/a`, 'utf8')).toBe('new content');
  expect((await files.stat(`${FOLDER}/a`)).mode & 0o777).toBe(0o604);
  expect(await files.readdir(FOLDER)).toEqual(['a']);
}

async function streams(fixture: ProviderFixture): Promise<void> {
  const { files } = await run(fixture);
  const bytes = Buffer.alloc(1_000_003, 'each part has its place 0123456789 ');
  const writing = files.createWriteStream(`${FOLDER}/long`);
  await new Promise((resolve, reject) => writing.on('error', reject).end(bytes, () => resolve(undefined)));
  const pieces: Buffer[] = [];
  for await (const piece of files.createReadStream(`${FOLDER}/long`, { start: 3 }))
    pieces.push(piece as Buffer);
  expect(Buffer.concat(pieces).equals(bytes.subarray(3))).toBe(true);
  expect((await files.readFile(`${FOLDER}/long`)).equals(bytes)).toBe(true);
  const tooLong = await refusal(
    'MICROVM_OUTPUT_LIMIT',
    files.readFile(`${FOLDER}/long`, { maxBytes: 1_000 }),
  );
  expect(tooLong.details.limitBytes).toBe(1_000);
}

async function opens(fixture: ProviderFixture): Promise<void> {
  const { files } = await run(fixture);
  const file = await files.open(`${FOLDER}/a`, 'w+');
  await file.write(Buffer.from('0123456789'));
  await file.write(Buffer.from('XY'), 0, 2, 3);
  const { bytesRead, buffer } = await file.read(Buffer.alloc(4), 0, 4, 2);
  expect([bytesRead, buffer.toString()]).toEqual([4, '2XY5']);
  await file.truncate(5);
  expect((await file.stat()).size).toBe(5);
  await file.close();
  expect(await failure(file.stat())).toMatchObject({ code: 'EBADF' });
  expect(await files.readFile(`${FOLDER}/a`, 'utf8')).toBe('012XY');
}

async function isAbortedBefore(fixture: ProviderFixture): Promise<void> {
  const { files } = await run(fixture);
  const reason = new Error('no longer wanted');
  const signal = AbortSignal.abort(reason);
  await expect(files.writeFile(`${FOLDER}/a`, 'x', { signal })).rejects.toBe(reason);
  expect(await files.readdir(FOLDER)).toEqual([]);
}

async function refusesArguments(fixture: ProviderFixture): Promise<void> {
  const { files } = await run(fixture);
  for (const path of ['', 'relative', '/nul\0', 5 as unknown as string])
    await refusal(
      'MICROVM_INVALID_ARGUMENT',
      Promise.resolve().then(() => files.stat(path)),
    );
  await refusal('MICROVM_INVALID_ARGUMENT', files.writeFile(`${FOLDER}/a`, 'x', { mode: -1 }));
  await refusal('MICROVM_INVALID_ARGUMENT', files.readFile(`${FOLDER}/a`, { flag: 'rw' }));
  expect(await files.readdir(FOLDER)).toEqual([]);
}

async function copiesTrees(fixture: ProviderFixture): Promise<void> {
  const { files } = await run(fixture);
  const host = await mkdtemp(join(tmpdir(), 'microvm-conformance-tree-'));
  try {
    await mkdir(join(host, 'from/a/b'), { recursive: true });
    await writeFile(join(host, 'from/a/b/file'), 'content', { mode: 0o600 });
    await symlink('b/file', join(host, 'from/a/link'));
    expect(await files.copyIn(join(host, 'from'), `${FOLDER}/tree`)).toEqual({
      entries: 5,
      bytes: 7,
      skipped: 0,
    });
    expect(await files.readFile(`${FOLDER}/tree/a/link`, 'utf8')).toBe('content');
    expect((await files.stat(`${FOLDER}/tree/a/b/file`)).mode & 0o777).toBe(0o600);
    expect(await files.copyOut(`${FOLDER}/tree`, join(host, 'to'))).toEqual({
      entries: 5,
      bytes: 7,
      skipped: 0,
    });
    expect((await readdir(join(host, 'to'), { recursive: true })).toSorted()).toEqual([
      ...['a', 'a/b', 'a/b/file', 'a/link'],
    ]);
    expect(await readFile(join(host, 'to/a/link'), 'utf8')).toBe('content');
  } finally {
    await rm(host, { recursive: true });
  }
}

async function losesGuest(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  const { files } = await runtime.guest(vmId);
  await runtime.stopVm(vmId);
  const error = await failure(files.stat('/'));
  expect(['MICROVM_GUEST_UNREACHABLE', 'MICROVM_INVALID_TRANSITION']).toContain(error.code);
}
