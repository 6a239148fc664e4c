import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { PowerLab, VolatileDisk, type Survival } from '../src/index.js';

const SECTOR = 4096;
const SECTORS = 64;

const reason = await PowerLab.reason();
if (reason !== undefined) console.log(`skipped: ${reason}`);

async function oldImage(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'microvm-image-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'image');
  await writeFile(path, Buffer.alloc(SECTOR * SECTORS, 'o'));
  return path;
}

/** One write of the whole disk, past the cache that the kernel has of the device. */
function write(device: string, letter: string): void {
  const size = SECTOR * SECTORS;
  const args = [`of=${device}`, `bs=${size}`, 'count=1', 'iflag=fullblock', 'oflag=direct', 'conv=notrunc'];
  execFileSync('dd', args, { input: Buffer.alloc(size, letter), stdio: ['pipe', 'ignore', 'pipe'] });
}

async function flush(device: string): Promise<void> {
  const file = await open(device, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** What each sector has, as one letter. */
async function sectors(device: string): Promise<string> {
  const content = await readFile(device);
  const letters = Array.from({ length: SECTORS }, (_, index) => {
    const sector = content.toString('latin1', index * SECTOR, (index + 1) * SECTOR);
    return sector === sector.charAt(0).repeat(SECTOR) ? sector.charAt(0) : '?';
  });
  return letters.join('');
}

describe.skipIf(reason !== undefined)('a volatile disk', () => {
  test('has what was flushed, and loses what was not, when its power is cut', async () => {
    const image = await oldImage();
    await using disk = await VolatileDisk.start(image);
    const device = await disk.powerOn();
    expect(await sectors(device)).toBe('o'.repeat(SECTORS));
    write(device, 'f');
    await flush(device);
    write(device, 'n');
    expect(await disk.cut('none', 1)).toEqual({ writes: 1, sectors: SECTORS, survivingSectors: 0 });
    expect(() => write(device, 'x')).toThrow();
    await expect(flush(device)).rejects.toThrow();
    expect(await sectors(await disk.powerOn())).toBe('f'.repeat(SECTORS));
    expect((await readFile(image)).every((byte) => byte === 'o'.charCodeAt(0))).toBe(true);
  });

  const cases: readonly [Survival, RegExp][] = [
    ['all', /^b+$/],
    ['writes', /^(?:o+|a+|b+)$/],
    ['sectors', /^(?=.*o)(?=.*a)(?=.*b)[oab]+$/],
  ];
  test.each(cases)('can have some of it: %s', async (survival, expected) => {
    await using disk = await VolatileDisk.start(await oldImage());
    const device = await disk.powerOn();
    write(device, 'a');
    write(device, 'b');
    await disk.cut(survival, 5);
    expect(await sectors(await disk.powerOn())).toMatch(expected);
  });

  test('leaves each set of writes by some seed, and the same by the same', async () => {
    const left = async (seed: number): Promise<string> => {
      await using disk = await VolatileDisk.start(await oldImage());
      const device = await disk.powerOn();
      write(device, 'a');
      write(device, 'b');
      await disk.cut('writes', seed);
      return (await sectors(await disk.powerOn())).charAt(0);
    };
    const all: string[] = [];
    for (let seed = 0; seed < 12; seed += 1) all.push(await left(seed));
    expect(new Set(all)).toEqual(new Set(['o', 'a', 'b']));
    expect(await left(3)).toBe(all[3]);
  });

  test('loses its power at the next flush when it is asked to: that flush has not happened', async () => {
    await using disk = await VolatileDisk.start(await oldImage());
    const device = await disk.powerOn();
    write(device, 'n');
    await disk.cutAtFlush('none', 1);
    expect(await sectors(device)).toBe('n'.repeat(SECTORS));
    await expect(flush(device)).rejects.toThrow();
    expect(await disk.cut('all', 1)).toMatchObject({ writes: 1, survivingSectors: 0 });
    expect(await sectors(await disk.powerOn())).toBe('o'.repeat(SECTORS));
  });

  test('is gone, with the host that has it mounted, when the process is killed that made them', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'microvm-image-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const image = join(folder, 'image');
    await PowerLab.formatImage('ext4', image, 16);
    const script = new URL('./killed-owner.ts', import.meta.url);
    const owner = fork(script, [image, folder], {
      execArgv: ['--conditions=@microvm/source', '--import', 'tsx'],
    });
    const [device] = (await once(owner, 'message')) as [string];
    const backing = `/sys/block/${basename(device)}/loop/backing_file`;
    const file = (await readFile(backing, 'utf8')).trim();
    expect(file).toContain('microvm-disk-');
    owner.kill('SIGKILL');
    // As long as it is mounted it has its loop device.
    await expect.poll(() => readFile(backing, 'utf8').catch(() => '')).not.toContain(file);
    await rm(dirname(file), { recursive: true });
  });

  test('is gone with its program', async () => {
    const disk = await VolatileDisk.start(await oldImage());
    const device = await disk.powerOn();
    const backing = `/sys/block/${basename(device)}/loop/backing_file`;
    const file = (await readFile(backing, 'utf8')).trim();
    expect(file).toContain('microvm-disk-');
    await disk[Symbol.asyncDispose]();
    // Another test may have the device by now, for a file of its own.
    expect(await readFile(backing, 'utf8').catch(() => '')).not.toContain(file);
  });
});
