import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { consoleSize } from '@microvm/driver-kit';
import { readJsonIfSound } from '@microvm/image';
import { z } from 'zod';
import { VM_FILES } from '../host/paths.js';

const lifeSchema = z.strictObject({
  /** Tells its files from those of another life. */
  lifeId: z.string(),
  /** The byte of the console at which this life begins; earlier bytes are of earlier lives. */
  consoleStartBytes: z.int().nonnegative(),
});

/**
 * Facts of one life of a VM that its next owner needs. The file is not durable, because no life outlasts the
 * host: after another boot nothing is concluded from it about the end of a guest.
 */
export type Life = Readonly<z.infer<typeof lifeSchema>>;

/** A VM's first one has no file: nothing was before it. */
export const FIRST_LIFE: Life = { lifeId: '', consoleStartBytes: 0 };

export async function beginLife(directory: string): Promise<Life> {
  const life: Life = {
    lifeId: randomBytes(8).toString('hex'),
    consoleStartBytes: await consoleSize(directory),
  };
  await writeFile(join(directory, VM_FILES.life), JSON.stringify(life), { mode: 0o600 });
  return life;
}

/**
 * Of a life that another owner began. A file that is cut or garbled says nothing: an owner that was killed
 * while it wrote the file has started no VMM.
 */
export async function readLife(directory: string): Promise<Life> {
  return (await readJsonIfSound(join(directory, VM_FILES.life), lifeSchema)) ?? FIRST_LIFE;
}
