import { mkdtemp, open, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { syncPath } from '../src/index.js';

let folder: string;
let prototype: FileHandle;
let sync: FileHandle['sync'];

// As the file handles of Yarn's Plug'n'Play behave.
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'microvm-sync-'));
  const handle = await open(folder);
  prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  // eslint-disable-next-line @typescript-eslint/unbound-method -- it is put back in its place
  sync = prototype.sync;
  prototype.sync = () => Promise.reject(new Error('Method not implemented.'));
});
afterAll(async () => {
  prototype.sync = sync;
  await rm(folder, { recursive: true });
});

it('makes a file and its folder durable, also where file handles cannot sync', async () => {
  const file = join(folder, 'file');
  await writeFile(file, 'x');
  const handle = await open(file);
  await expect(handle.sync()).rejects.toThrow('not implemented');
  await handle.close();
  await syncPath(file);
  await syncPath(folder);
});

it('rejects as the system does', async () => {
  await expect(syncPath(join(folder, 'none'))).rejects.toMatchObject({ code: 'ENOENT', syscall: 'open' });
});
