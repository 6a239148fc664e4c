import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyFile, putDurable } from '@microvm/native';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FILE_SYSTEMS, formatImage, PowerLab, VolatileDisk, type FileSystem } from '../src/index.js';

const reason = await PowerLab.reason();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const CONTENT = 'x'.repeat(3 << 20);

/** A file system on a disk whose power can be cut: `cutPower` mounts what is left of it again. */
async function mountDisk(fileSystem: FileSystem) {
  const folder = await mkdtemp(join(tmpdir(), 'microvm-durable-'));
  const [image, path] = [join(folder, 'image'), join(folder, 'mounted')];
  await formatImage(fileSystem, image, 320);
  await mkdir(path);
  const disk = await VolatileDisk.start(image);
  const mount = async (options: readonly string[] = []) => {
    execFileSync('mount', [...options, await disk.powerOn(), path]);
  };
  const unmount = () => execFileSync('umount', [path]);
  await mount();
  onTestFinished(async () => {
    unmount();
    await disk[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  return {
    path,
    /** For what is copied into the file system: it has its power all the time. */
    folder,
    cutPower: async () => {
      await disk.cut('none', 1);
      unmount();
      await mount(FILE_SYSTEMS[fileSystem].mount);
    },
  };
}

async function sync(path: string): Promise<void> {
  const folder = await open(path);
  await folder.sync();
  await folder.close();
}

const fileSystems = Object.keys(FILE_SYSTEMS) as FileSystem[];

describe.skipIf(reason !== undefined).each(fileSystems)('when the power is cut on %s', (fileSystem) => {
  test('what `putDurable` put is there, whole; what was only copied is not', async () => {
    const { path, folder, cutPower } = await mountDisk(fileSystem);
    const source = join(folder, 'source');
    await writeFile(source, CONTENT);
    const target = join(path, 'target');
    await mkdir(target);
    await sync(path);
    await Promise.all([
      putDurable({ data: CONTENT }, join(target, 'data')),
      putDurable({ copy: source }, join(target, 'copy'), { mode: 0o444 }),
      copyFile(source, join(target, 'partial')).then(() =>
        putDurable({ move: join(target, 'partial') }, join(target, 'move')),
      ),
    ]);
    await copyFile(source, join(target, 'not-durable'));
    await cutPower();
    for (const name of ['data', 'copy', 'move']) {
      expect((await readFile(join(target, name), 'utf8')) === CONTENT, name).toBe(true);
    }
    expect((await stat(join(target, 'copy'))).mode & 0o7777).toBe(0o444);
    const left = await readFile(join(target, 'not-durable'), 'utf8').catch(() => '');
    expect(left === CONTENT).toBe(false);
  });
});
