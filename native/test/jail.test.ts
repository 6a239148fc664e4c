import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { expect, test } from 'vitest';
import { stageJail, type JailPlan } from '../dist/index.js';
import { rejection, temporaryFolder } from './fixture.js';

const isRoot = process.getuid?.() === 0;
/** The VM's; without root nobody can be given a file but ourselves. */
const owner = isRoot
  ? { uid: 54_321, gid: 54_322 }
  : { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

interface Fixture {
  readonly folder: string;
  readonly root: string;
  readonly kernel: string;
  readonly template: string;
  readonly plan: (rest: Omit<JailPlan, 'root' | 'uid' | 'gid'>) => JailPlan;
}

function makeFixture(): Fixture {
  const folder = temporaryFolder();
  const kernel = join(folder, 'kernel');
  const template = join(folder, 'template');
  writeFileSync(kernel, 'a kernel');
  chmodSync(kernel, 0o444);
  writeFileSync(template, 'a disk', { mode: 0o644 });
  mkdirSync(join(folder, 'jail/firecracker'), { recursive: true });
  const root = join(folder, 'jail/firecracker/ab12/root');
  return { folder, root, kernel, template, plan: (rest) => ({ root, ...owner, ...rest }) };
}

/** Everything below a folder, by relative path: kind, mode, owner, links. */
function inventory(folder: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    const { mode, uid, gid, nlink } = lstatSync(join(folder, name));
    const kind = lstatSync(join(folder, name)).isDirectory() ? 'folder' : `file ${String(nlink)}`;
    found[name] = `${kind} ${(mode & 0o7777).toString(8)} ${String(uid)}:${String(gid)}`;
  }
  return found;
}

test('stages folders, shared and private files with their owners and modes', async () => {
  const { root, kernel, template, plan } = makeFixture();
  const ours = `${String(process.getuid?.())}:${String(process.getgid?.())}`;
  const theirs = `${String(owner.uid)}:${String(owner.gid)}`;
  const staged = await stageJail(
    plan({
      folders: [{ name: 'disks' }, { name: 'disks/own', private: true }],
      shared: [
        { name: 'kernel', from: kernel },
        { name: 'disks/base', from: template },
      ],
      private: [
        { name: 'disks/root', from: template, sizeBytes: 1 << 20 },
        { name: 'disks/own/log', mode: 0o640 },
        { name: 'scratch', sizeBytes: 4096 },
      ],
    }),
  );
  expect(staged.files.map(({ name, sizeBytes }) => [name, sizeBytes])).toEqual([
    ['kernel', 8],
    ['disks/base', 6],
    ['disks/root', 1 << 20],
    ['disks/own/log', 0],
    ['scratch', 4096],
  ]);
  expect(staged.files.map(({ method }) => (method === 'reflink' ? 'copy' : method))).toEqual([
    'link',
    'copy',
    'copy',
    'empty',
    'empty',
  ]);
  expect(inventory(root)).toEqual({
    disks: `folder 755 ${ours}`,
    'disks/base': `file 1 444 ${ours}`,
    'disks/own': `folder 700 ${theirs}`,
    'disks/own/log': `file 1 640 ${theirs}`,
    'disks/root': `file 1 600 ${theirs}`,
    kernel: `file 2 444 ${ours}`,
    scratch: `file 1 600 ${theirs}`,
  });
  expect(lstatSync(root).mode & 0o777).toBe(0o700);
  expect(lstatSync(template)).toMatchObject({ uid: process.getuid?.(), gid: process.getgid?.(), nlink: 1 });
  expect(readFileSync(join(root, 'disks/base'), 'utf8')).toBe('a disk');
  expect(readFileSync(join(root, 'disks/root')).subarray(0, 7).toString()).toBe('a disk\0');
});

test('names that would leave the root are a TypeError before any effect', async () => {
  const { folder, kernel, plan } = makeFixture();
  for (const name of ['..', '../x', 'a/../../x', '/etc/x', '', '.', 'a//b', 'a/', 'a\0b', 5, undefined]) {
    for (const rest of [
      { shared: [{ name, from: kernel }] },
      { private: [{ name }] },
      { folders: [{ name }] },
    ]) {
      // @ts-expect-error wrong on purpose
      expect(() => stageJail(plan(rest)), String(name)).toThrow(TypeError);
    }
  }
  const wrong = [
    { shared: [{ name: 'a' }] },
    { shared: [{ name: 'a', from: '' }] },
    { shared: 'a' },
    { private: [{ name: 'a', by: 'link' }] },
    { private: [{ name: 'a', by: 'steal', from: kernel }] },
    { private: [{ name: 'a', by: 'move', from: kernel, mode: 0o600 }] },
    { private: [{ name: 'a', sizeBytes: -1 }] },
    { private: [{ name: 'a', mode: 0o4755 }] },
    { private: [{ name: 'a' }, { name: 'a' }] },
    { folders: [{ name: 'a', private: 'yes' }] },
    { uid: -1 },
    { gid: 2 ** 32 },
    { root: '' },
  ];
  for (const rest of wrong) {
    // @ts-expect-error wrong on purpose
    expect(() => stageJail(plan(rest)), JSON.stringify(rest)).toThrow(TypeError);
  }
  // @ts-expect-error wrong on purpose
  expect(() => stageJail()).toThrow(TypeError);
  expect(readdirSync(join(folder, 'jail/firecracker'))).toEqual([]);
});

test('a failure says what and where, and leaves nothing', async () => {
  const { folder, kernel, template, root, plan } = makeFixture();
  const before = inventory(folder);
  const error = await rejection(
    stageJail(
      plan({
        folders: [{ name: 'disks' }],
        shared: [{ name: 'kernel', from: kernel }],
        private: [
          { name: 'disks/root', from: template },
          { name: 'disks/data', from: join(folder, 'none') },
        ],
      }),
    ),
  );
  expect(error).toMatchObject({ code: 'ENOENT', errno: -2, syscall: 'open', path: join(folder, 'none') });
  expect(inventory(folder)).toEqual(before);
  await stageJail(plan({ private: [{ name: 'a' }] }));
  expect(
    await rejection(stageJail(plan({ folders: [{ name: 'b' }], private: [{ name: 'a' }] }))),
  ).toMatchObject({
    code: 'EEXIST',
    path: join(root, 'a'),
  });
  expect(readdirSync(root)).toEqual(['a']);
});

test('a relative origin is meant from the present working directory', async () => {
  const { kernel, root, plan } = makeFixture();
  const from = relative(process.cwd(), kernel);
  await stageJail({ ...plan({ shared: [{ name: 'kernel', from }] }), root: relative(process.cwd(), root) });
  expect(readFileSync(join(root, 'kernel'), 'utf8')).toBe('a kernel');
});

test('an aborted staging rejects with the reason and leaves nothing, whenever it comes', async () => {
  const { folder, kernel, template, plan } = makeFixture();
  const before = inventory(folder);
  const reason = new Error('enough');
  const many = plan({
    shared: Array.from({ length: 300 }, (_, i) => ({ name: `k${String(i)}`, from: kernel })),
    private: Array.from({ length: 100 }, (_, i) => ({ name: `d${String(i)}`, from: template })),
  });
  await expect(stageJail(many, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const controller = new AbortController();
  const staged = stageJail(many, { signal: controller.signal });
  setImmediate(() => controller.abort(reason));
  await expect(staged).rejects.toBe(reason);
  expect(inventory(folder)).toEqual(before);
});
