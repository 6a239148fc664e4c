import { chmodSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { putDurable } from '../dist/index.js';
import { rejection, temporaryFolder } from './fixture.js';

const MIB = 1 << 20;

test('puts data, a copy and a file itself under a name, with the mode that was asked for', async () => {
  const folder = temporaryFolder();
  const [from, to] = [join(folder, 'from'), join(folder, 'to')];
  writeFileSync(from, 'content');
  chmodSync(from, 0o640);
  expect(await putDurable({ data: 'grüße' }, to, { mode: 0o400 })).toMatchObject({ sizeBytes: 7 });
  expect([readFileSync(to, 'utf8'), statSync(to).mode & 0o7777]).toEqual(['grüße', 0o400]);
  expect(await putDurable({ copy: from }, to)).toMatchObject({ sizeBytes: 7 });
  expect([readFileSync(to, 'utf8'), statSync(to).mode & 0o7777]).toEqual(['content', 0o640]);
  const { ino } = statSync(from);
  await putDurable({ move: from }, to, { mode: 0o444 });
  expect(statSync(to)).toMatchObject({ ino, mode: 0o100444 });
  expect(readdirSync(folder)).toEqual(['to']);
});

test('keeps the holes of a copied file', async () => {
  const folder = temporaryFolder();
  const from = join(folder, 'from');
  writeFileSync(from, 'x');
  truncateSync(from, 64 * MIB);
  await putDurable({ copy: from }, join(folder, 'to'));
  expect(statSync(join(folder, 'to')).size).toBe(64 * MIB);
  expect(statSync(join(folder, 'to')).blocks * 512).toBeLessThan(MIB);
});

test('refuses a target that is there, where it is asked to, and a source of another size', async () => {
  const folder = temporaryFolder();
  const [from, to] = [join(folder, 'from'), join(folder, 'to')];
  writeFileSync(from, '12345');
  writeFileSync(to, 'old');
  for (const source of [{ data: 'x' }, { copy: from }, { move: from }]) {
    const put = putDurable(source, to, { replace: false });
    expect(await rejection(put)).toMatchObject({ code: 'EEXIST', path: to });
  }
  for (const source of [{ copy: from }, { move: from }]) {
    const larger = putDurable(source, to, { maxSizeBytes: 4 });
    expect(await rejection(larger)).toMatchObject({ code: 'EFBIG', path: from });
    expect(String((await rejection(larger)).detail)).toBe('it has 5 bytes, at most 4 are allowed');
    const smaller = putDurable(source, to, { expectedSizeBytes: 6 });
    expect(await rejection(smaller)).toMatchObject({ code: 'EIO', path: from });
  }
  expect([readFileSync(to, 'utf8'), readFileSync(from, 'utf8')]).toEqual(['old', '12345']);
  expect(readdirSync(folder).sort()).toEqual(['from', 'to']);
});

test('many at once in one folder all arrive', async () => {
  const folder = temporaryFolder();
  const from = join(folder, 'from');
  writeFileSync(from, 'content');
  const names = Array.from({ length: 200 }, (_, index) => `f${index}`);
  const put = (name: string, index: number) =>
    putDurable(index % 2 === 0 ? { copy: from } : { data: name }, join(folder, name));
  await Promise.all(names.map(put));
  for (const [index, name] of names.entries()) {
    expect(readFileSync(join(folder, name), 'utf8')).toBe(index % 2 === 0 ? 'content' : name);
  }
});

test('wrong arguments are a TypeError before any effect', () => {
  const to = join(temporaryFolder(), 'to');
  for (const source of [
    undefined,
    'x',
    {},
    { data: 1 },
    { copy: '' },
    { move: 'a\0b' },
    { data: 'x', copy: to },
  ]) {
    // @ts-expect-error wrong on purpose
    expect(() => putDurable(source, to)).toThrow(TypeError);
  }
  for (const options of [{ mode: -1 }, { uid: 1.5 }, { replace: 1 }, { sparse: 'x' }, { maxSizeBytes: -1 }]) {
    // @ts-expect-error wrong on purpose
    expect(() => putDurable({ data: 'x' }, to, options)).toThrow(TypeError);
  }
});
