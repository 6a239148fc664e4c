import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { removeDurable, renameDurable, writeDurable } from '../dist/index.js';
import { rejection, runNode, temporaryFolder } from './fixture.js';

test('writes bytes and text', async () => {
  const folder = temporaryFolder();
  await writeDurable(join(folder, 'text'), 'grüße');
  await writeDurable(join(folder, 'bytes'), new Uint8Array([0, 255, 10]));
  await writeDurable(join(folder, 'part'), Buffer.from('0123456789').subarray(2, 5));
  await writeDurable(join(folder, 'empty'), new Uint8Array());
  expect(readFileSync(join(folder, 'text'), 'utf8')).toBe('grüße');
  expect([...readFileSync(join(folder, 'bytes'))]).toEqual([0, 255, 10]);
  expect(readFileSync(join(folder, 'part'), 'utf8')).toBe('234');
  expect(readFileSync(join(folder, 'empty'))).toHaveLength(0);
  expect(readdirSync(folder).sort()).toEqual(['bytes', 'empty', 'part', 'text']);
});

test('takes the data as they are at the call', async () => {
  const file = join(temporaryFolder(), 'f');
  const data = Buffer.from('before');
  const written = writeDurable(file, data);
  data.write('after!');
  await written;
  expect(readFileSync(file, 'utf8')).toBe('before');
});

test('calls on one path take effect in their order', async () => {
  const folder = temporaryFolder();
  const f = join(folder, 'f');
  const g = join(folder, 'g');
  await Promise.all([
    ...Array.from({ length: 50 }, (_, i) => writeDurable(f, String(i))),
    renameDurable(f, g),
    writeDurable(f, 'new'),
    removeDurable(f),
    writeDurable(join(folder, './f'), 'last'),
  ]);
  expect(readFileSync(g, 'utf8')).toBe('49');
  expect(readFileSync(f, 'utf8')).toBe('last');
});

test('many at once all arrive', async () => {
  const folder = temporaryFolder();
  const names = Array.from({ length: 500 }, (_, i) => join(folder, `f${i}`));
  await Promise.all(names.map((name) => writeDurable(name, name)));
  for (const name of names) expect(readFileSync(name, 'utf8')).toBe(name);
  expect(readdirSync(folder)).toHaveLength(500);
});

test('a failure has errno, syscall and path, harms nothing else and leaves no temporary file', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'folder'));
  const outcomes = await Promise.allSettled([
    writeDurable(join(folder, 'good'), '1'),
    writeDurable(join(folder, 'folder'), '2'),
    writeDurable(join(folder, 'good', 'below'), '3'),
    removeDurable(join(folder, 'none')),
    renameDurable(join(folder, 'none'), join(folder, 'other')),
    writeDurable(join(folder, 'also-good'), '4'),
  ]);
  expect(outcomes.map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'rejected',
    'rejected',
    'rejected',
    'fulfilled',
  ]);
  expect(outcomes[1]).toMatchObject({
    reason: { code: 'EISDIR', errno: -21, syscall: 'rename', path: join(folder, 'folder') },
  });
  expect(outcomes[2]).toMatchObject({ reason: { code: 'ENOTDIR', syscall: 'open' } });
  expect(outcomes[3]).toMatchObject({
    reason: { code: 'ENOENT', syscall: 'unlink', path: join(folder, 'none') },
  });
  expect(readdirSync(folder).sort()).toEqual(['also-good', 'folder', 'good']);
});

test('a file system that is full or read-only is an error', async () => {
  expect(await rejection(writeDurable('/proc/microvm', 'x'))).toMatchObject({
    syscall: 'open',
    path: '/proc/microvm',
  });
});

test('keeps the mode of the file it replaces', async () => {
  const file = join(temporaryFolder(), 'f');
  writeFileSync(file, 'old');
  chmodSync(file, 0o644);
  await writeDurable(file, 'new');
  expect(readFileSync(file, 'utf8')).toBe('new');
});

test('keeps the file it replaces as the next one, where it is asked to', async () => {
  const folder = temporaryFolder();
  const file = join(folder, 'f');
  for (const text of ['first', 'the second', '3rd']) await writeDurable(file, text, { keepSpare: true });
  expect(readFileSync(file, 'utf8')).toBe('3rd');
  expect(readdirSync(folder).sort()).toEqual(['.spare-f', 'f']);
});

test('wrong arguments are a TypeError before any effect', () => {
  const file = join(temporaryFolder(), 'f');
  // @ts-expect-error wrong on purpose
  expect(() => writeDurable(file, 'x', { keepSpare: 1 })).toThrow(TypeError);
  for (const data of [undefined, null, 5, {}, [1], new Uint16Array(2), new ArrayBuffer(3)]) {
    // @ts-expect-error wrong on purpose
    expect(() => writeDurable(file, data)).toThrow(TypeError);
  }
  expect(() => writeDurable('', 'x')).toThrow(TypeError);
  expect(() => writeDurable('a\0b', 'x')).toThrow(TypeError);
  expect(() => renameDurable(file, '')).toThrow(TypeError);
});

// One file after the other is replaced by whole records while the process is killed at some moment.
const WRITER = `
  const folder = process.argv[1];
  const record = (n) => JSON.stringify({ n, body: 'x'.repeat(n % 50000), end: n });
  let n = Number(process.argv[2]);
  const keepSpare = process.argv[3] === 'true';
  await native.writeDurable(folder + '/f0', record(n));
  console.log('started');
  while (true) {
    await Promise.all(Array.from({ length: 8 }, (_, i) => native.writeDurable(folder + '/f' + i, record(++n), { keepSpare })));
    process.stdout.write(n + ',');
  }
`;

test.each([
  ['a new file', false],
  ['the spare file', true],
])('kill -9 in the middle of %s leaves no torn one, and what was reported is there', async (_, keepSpare) => {
  const folder = temporaryFolder();
  for (let round = 0; round < 5; ++round) {
    const writer = runNode(WRITER, [folder, String(round * 1000), String(keepSpare)]);
    await writer.sees('started');
    await writer.sees(`${round * 1000 + 8 * (round + 1)},`);
    writer.child.kill('SIGKILL');
    const { output } = await writer.finished;
    const reported = Number(output.split(',').at(-2)?.replace(/\D+/g, ''));
    for (const name of readdirSync(folder).filter((entry) => entry.startsWith('f'))) {
      const record = JSON.parse(readFileSync(join(folder, name), 'utf8')) as {
        n: number;
        body: string;
        end: number;
      };
      expect(record.end).toBe(record.n);
      expect(record.body).toHaveLength(record.n % 50000);
      expect(record.n).toBeGreaterThan(reported - 8);
    }
    for (const left of readdirSync(folder)) expect(left).toMatch(/^(f\d|\.spare-f\d|\.tmp-[0-9a-f]{16})$/);
  }
});
