import type { OpenFile } from '../process/open-file.js';
import type { Process } from '../process/process.js';
import { reporting } from '../process/errno-text.js';
import { openFile } from '../process/regular-file.js';

/** A character for each byte of a text. */
export function bytesOf(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/**
 * Calls back for each named file, `-` being the standard input, or for the standard input where none is
 * named. A file that cannot be opened is complained about. Answers the status.
 */
export async function eachInput(
  process: Process,
  paths: readonly string[],
  onInput: (file: OpenFile, name: string) => Promise<void>,
): Promise<number> {
  let status = 0;
  for (const path of paths.length === 0 ? ['-'] : paths) {
    if (path === '-') {
      await onInput(process.descriptor(0), path);
      continue;
    }
    const failed = await reporting(
      async () => {
        const file = openFile(process.files, process.path(path), '<');
        try {
          await onInput(file, path);
        } finally {
          file.release();
        }
        return 0;
      },
      (text) => process.complain(`${path}: ${text}`),
    );
    status ||= failed;
  }
  return status;
}
