import { readFile } from 'node:fs/promises';
import type { z } from 'zod';
import { ignoreAbsent } from './system-error.js';

/**
 * Undefined when the file is absent, no JSON, or not of this schema: for files that only save work, which is
 * then done again. Rejects with the system's error when the file cannot be read.
 */
export async function readJsonIfSound<T extends z.ZodType>(
  path: string,
  schema: T,
): Promise<z.output<T> | undefined> {
  const text = await readFile(path, 'utf8').catch(ignoreAbsent);
  if (text === undefined) return undefined;
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    // No JSON.
    return undefined;
  }
}
