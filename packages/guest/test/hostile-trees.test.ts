import {
  existsSync,
  lstatSync,
  mkdtempSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isVmRuntimeError } from '@microvm/runtime';
import type { CopyOutOptions, TreeCopy } from '@microvm/runtime';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileAnswer, TreeMessage } from '../src/files/file-protocol.js';
import { PayloadWriter } from '../src/payload.js';
import { scriptedGuest } from './scripted-guest.js';

const KIND = { link: 0, fifo: 1, device: 2, folder: 4, file: 8, symlink: 10 } as const;

interface Entry {
  readonly kind: number;
  readonly name: string;
  readonly mode?: number;
  readonly size?: number;
  readonly link?: number;
  readonly target?: string;
}

function message(type: number, body: Buffer = Buffer.alloc(0)): Buffer {
  return new PayloadWriter()
    .u32(body.length + 1)
    .u8(type)
    .raw(body)
    .done();
}

function entry({ kind, name, mode = 0o755, size = 0, link = 0, target = '' }: Entry): Buffer {
  const body = new PayloadWriter().u8(kind).u32(mode).u32(0).u32(0).u64(0n).u32(0).u64(0n).u32(0);
  return message(TreeMessage.entry, body.u64(BigInt(size)).u64(0n).u32(link).text(name).text(target).done());
}

function content(offset: number, data: string): Buffer {
  return message(TreeMessage.content, new PayloadWriter().u64(BigInt(offset)).raw(Buffer.from(data)).done());
}

const ROOT = entry({ kind: KIND.folder, name: '' });
const UP = message(TreeMessage.up);
const END = message(TreeMessage.end);
const DONE = message(FileAnswer.done);

let dir: string;
let target: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'microvm-hostile-trees-'));
  // So deep that a receiver at fault does not leave the test's own folder by the names that are tried.
  target = join(dir, ...Array.from({ length: 20 }, () => 'deep'), 'target');
  mkdirSync(join(target, '..'), { recursive: true });
  mkdirSync(join(dir, 'outside'));
  writeFileSync(join(dir, 'outside/precious'), 'untouched', { mode: 0o600 });
});

afterEach(() => {
  // Nothing outside of the target was made or changed, whatever the guest sent.
  expect(readdirSync(dir)).toEqual(['deep', 'outside']);
  expect(existsSync(join(tmpdir(), 'microvm-hostile-trees-absolute'))).toBe(false);
  expect(readdirSync(join(target, '..')).filter((name) => name !== 'target')).toEqual([]);
  expect(readdirSync(join(dir, 'outside'))).toEqual(['precious']);
  expect(readFileSync(join(dir, 'outside/precious'), 'utf8')).toBe('untouched');
  expect(lstatSync(join(dir, 'outside/precious'))).toMatchObject({ nlink: 1, mode: 0o100600 });
  rmSync(dir, { recursive: true });
});

/** The worker stays, as a real one does, unless it `ends` with the last message. */
async function copyOut(
  sent: readonly Buffer[],
  { ends = false, ...options }: CopyOutOptions & { readonly ends?: boolean } = {},
): Promise<TreeCopy> {
  const { client } = await scriptedGuest({
    files: async (worker) => {
      for await (const _ of worker.stdin) {
        for (const bytes of sent) await worker.stdout(bytes);
        if (ends) return 0;
      }
      return 0;
    },
  });
  try {
    return await client.files.copyOut('/tree', target, options);
  } finally {
    client.close();
  }
}

const file = (name: string, more: Partial<Entry> = {}): Buffer => entry({ kind: KIND.file, name, ...more });

describe('a guest that sends a hostile tree', () => {
  it.each<[string, readonly Buffer[]]>([
    ['a name that leads upward', [ROOT, file('..')]],
    ['a name that is the folder itself', [ROOT, file('.')]],
    ['a name with a way upward in it', [ROOT, file('../outside/precious')]],
    ['an absolute name', [ROOT, file(join(tmpdir(), 'microvm-hostile-trees-absolute'))]],
    ['a path for a name', [ROOT, file('a/b')]],
    ['a second root', [ROOT, ROOT]],
    ['a root that is a link', [entry({ kind: KIND.symlink, name: '', target: '/nowhere' })]],
    ['a root with a name', [entry({ kind: KIND.folder, name: 'x' })]],
    ['a name with NUL', [ROOT, file('a\0b')]],
    ['a name of 256 bytes', [ROOT, file('x'.repeat(256))]],
    ['an unknown kind', [ROOT, entry({ kind: 77, name: 'x' })]],
    ['a mode that is none', [ROOT, file('x', { mode: 0o100644 })]],
    ['content of no file', [ROOT, content(0, 'x')]],
    ['content behind the end of its file', [ROOT, file('x', { size: 3 }), content(2, 'xy')]],
    ['content that goes back', [ROOT, file('x', { size: 9 }), content(4, 'xy'), content(0, 'x')]],
    ['content of a file that is over', [ROOT, file('x', { size: 9 }), file('y'), UP, content(0, 'x')]],
    ['a size that is none', [ROOT, entry({ kind: KIND.folder, name: 'x', size: 1 })]],
    ['a link to nothing', [ROOT, entry({ kind: KIND.link, name: 'x', link: 7 })]],
    ['a link without a number', [ROOT, entry({ kind: KIND.link, name: 'x' })]],
    ['two files of one number', [ROOT, file('x', { link: 7 }), file('y', { link: 7 })]],
    ['a symbolic link without a target', [ROOT, entry({ kind: KIND.symlink, name: 'x' })]],
    ['a file with a target', [ROOT, file('x', { target: 'y' })]],
    ['more ends of folders than folders', [ROOT, UP, UP]],
    ['an end within a folder', [ROOT, END]],
    ['an end without a begin', [END]],
    ['something behind the end', [ROOT, UP, END, ROOT]],
    ['no end', [ROOT, UP, DONE]],
    ['nothing', [DONE]],
  ])('ends its copy with a typed error: %s', async (_, sent) => {
    await expect(copyOut([Buffer.concat(sent), END, DONE])).rejects.toMatchObject({
      code: 'MICROVM_GUEST_UNREACHABLE',
    });
  });

  it('cannot write through a link that it has sent', async () => {
    const link = entry({ kind: KIND.symlink, name: 'way', target: join(dir, 'outside') });
    const direct = entry({ kind: KIND.symlink, name: 'direct', target: join(dir, 'outside/precious') });
    const sent = [
      ...[ROOT, link, direct, file('direct', { size: 4 }), content(0, 'evil')],
      ...[
        entry({ kind: KIND.folder, name: 'way', mode: 0o777 }),
        file('precious', { size: 4 }),
        content(0, 'evil'),
      ],
      ...[UP, UP, END, DONE],
    ];
    await copyOut(sent);
    expect(readFileSync(join(target, 'way/precious'), 'utf8')).toBe('evil');
    expect(lstatSync(join(target, 'way')).isDirectory()).toBe(true);
    expect(readFileSync(join(target, 'direct'), 'utf8')).toBe('evil');
  });

  it('cannot write through links that lie in the target already', async () => {
    mkdirSync(target);
    symlinkSync(join(dir, 'outside'), join(target, 'way'));
    symlinkSync(join(dir, 'outside/precious'), join(target, 'file'));
    const sent = [
      ...[ROOT, entry({ kind: KIND.folder, name: 'way', mode: 0o777 }), file('precious'), UP],
      ...[file('file', { size: 4 }), content(0, 'evil'), UP, END, DONE],
    ];
    await copyOut(sent);
    expect(readdirSync(join(target, 'way'))).toEqual(['precious']);
  });

  it('cannot make a hard link to what is outside', async () => {
    const sent = [
      ...[ROOT, entry({ kind: KIND.folder, name: 'a' }), file('precious', { link: 1 }), UP],
      ...[entry({ kind: KIND.link, name: 'b', link: 1 })],
      // The folder that the first name lies in becomes a link: a folder is not replaced.
      ...[entry({ kind: KIND.symlink, name: 'a', target: join(dir, 'outside') })],
      ...[entry({ kind: KIND.link, name: 'stolen', link: 1 }), UP, END, DONE],
    ];
    await expect(copyOut(sent)).rejects.toMatchObject({ code: 'EISDIR', syscall: 'symlink' });
    expect(lstatSync(join(target, 'b')).nlink).toBe(2);
  });

  it('gives no device, no FIFO, no owner and no privilege', async () => {
    const sent = [
      ...[ROOT, entry({ kind: KIND.device, name: 'mem' }), entry({ kind: KIND.fifo, name: 'fifo' })],
      ...[file('su', { mode: 0o6777 }), UP, END, DONE],
    ];
    expect(await copyOut(sent)).toEqual({ entries: 4, bytes: 0, skipped: 2 });
    expect(readdirSync(target)).toEqual(['su']);
    expect(lstatSync(join(target, 'su'))).toMatchObject({ mode: 0o100777, uid: process.getuid?.() });
  });

  it('stops at its bounds: entries, bytes, depth and links', async () => {
    const endless = Buffer.concat(Array.from({ length: 100 }, (_, index) => file(`f${index}`)));
    const entries = copyOut([ROOT, ...Array.from({ length: 1_000 }, () => endless)], { maxEntries: 5_000 });
    await expect(entries).rejects.toMatchObject({
      code: 'MICROVM_OUTPUT_LIMIT',
      details: { limitEntries: 5_000 },
    });
    const piece = 'x'.repeat(65_536);
    const long = Array.from({ length: 100 }, (_, index) => content(index * 65_536, piece));
    const bytes = copyOut([ROOT, file('x', { size: 2 ** 40 }), ...long], { maxBytes: 1_000_000 });
    await expect(bytes).rejects.toMatchObject({
      code: 'MICROVM_OUTPUT_LIMIT',
      details: { limitBytes: 1_000_000 },
    });
    const deep = Array.from({ length: 300 }, () => entry({ kind: KIND.folder, name: 'x' }));
    await expect(copyOut([ROOT, ...deep])).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
    const named = (index: number) => file(`${index}-${'x'.repeat(200)}`, { link: index + 1 });
    const many = Array.from({ length: 20_000 }, (_, index) => named(index));
    await expect(copyOut([ROOT, ...many])).rejects.toMatchObject({
      code: 'MICROVM_GUEST_UNREACHABLE',
      details: { reason: 'it sent a tree with too many links' },
    });
  });

  it('can say anything at all', async () => {
    const name = fc.constantFrom(
      '',
      '.',
      '..',
      'a',
      'b',
      'a/b',
      `${tmpdir()}/microvm-hostile-trees-absolute`,
      '../outside/precious',
      'x'.repeat(300),
    );
    const entries = fc
      .record({
        ...{ kind: fc.constantFrom(0, 1, 2, 4, 4, 4, 6, 8, 8, 10, 10, 12, 99), name },
        ...{ mode: fc.constantFrom(0o700, 0o777, 0o6777), size: fc.constantFrom(0, 0, 4) },
        link: fc.constantFrom(0, 0, 1, 2),
      })
      .chain((made) =>
        fc
          .constantFrom('', join(dir, 'outside'), join(dir, 'outside/precious'), '..')
          .map((to) => entry({ ...made, target: made.kind === KIND.symlink || to === '..' ? to : '' })),
      );
    const messages = fc.oneof(
      { weight: 6, arbitrary: entries },
      { weight: 2, arbitrary: fc.constantFrom(UP, END, content(0, 'evil'), content(2, 'ev')) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(messages, { maxLength: 12 }), fc.boolean(), async (sent, hasFilter) => {
        rmSync(target, { recursive: true, force: true });
        const options = hasFilter ? { filter: ({ path }: { path: string }) => path !== 'a' } : {};
        await copyOut([ROOT, ...sent, UP, END, DONE], {
          ends: true,
          maxEntries: 100,
          maxBytes: 10_000,
          ...options,
        }).catch((error: unknown) => {
          const isNode = typeof (error as NodeJS.ErrnoException).syscall === 'string';
          expect(isNode || isVmRuntimeError(error)).toBe(true);
        });
        expect(readFileSync(join(dir, 'outside/precious'), 'utf8')).toBe('untouched');
      }),
      { numRuns: 300 },
    );
  });
});
