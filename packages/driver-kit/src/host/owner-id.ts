import { randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readJsonIfSound } from '@microvm/image';
import { writeDurable } from '@microvm/native';
import { VmRuntimeError } from '@microvm/runtime';
import { z } from 'zod';
import { ignoreMissing } from './system-error.js';

const FILE = 'owner-id';
const ID_BYTES = 16;

const fileSchema = z.strictObject({
  format: z.literal(1),
  ownerId: z.string().regex(/^[0-9a-f]{32}$/),
  /** The inode of the state directory that the id was made for. */
  inode: z.string(),
});

/**
 * The name under which a state directory owns what its VMs have outside of it, such as cgroups and user ids.
 * The id is made once and kept in the directory: it is the same by whatever path the directory is reached,
 * and two directories that have the same path in two mount namespaces have two ids. A copy of a directory
 * gets an id of its own, as its inode is another one.
 *
 * Only the process that holds the directory's lock may call this. Errors: STATE_CORRUPT, the system's.
 */
export async function openOwnerId(stateDir: string): Promise<string> {
  const path = join(stateDir, FILE);
  const inode = String((await stat(stateDir, { bigint: true })).ino);
  const text = await readFile(path, 'utf8').catch(ignoreMissing);
  const known = text === undefined ? undefined : parse(path, text);
  if (known?.inode === inode) return known.ownerId;
  const ownerId = randomBytes(ID_BYTES).toString('hex');
  await writeDurable(path, `${JSON.stringify({ format: 1, ownerId, inode })}\n`);
  return ownerId;
}

/**
 * The id that a state directory had when it was last opened; undefined when there is none that can be read.
 */
export async function readOwnerId(stateDir: string): Promise<string | undefined> {
  return (await readJsonIfSound(join(stateDir, FILE), fileSchema))?.ownerId;
}

function parse(path: string, text: string): z.infer<typeof fileSchema> {
  const parsed = fileSchema.safeParse(jsonOf(text));
  if (parsed.success) return parsed.data;
  throw new VmRuntimeError('MICROVM_STATE_CORRUPT', `"${path}" holds no id of an owner`, {
    details: { path, problem: text === '' ? 'it is empty' : 'it is not what was written' },
    remedy: `remove "${path}": the next open makes another id and finds its VMs again`,
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // The schema refuses undefined, as it refuses all else that is wrong.
    return undefined;
  }
}
