import { watch, type FSWatcher } from 'node:fs';
import { VmRuntimeError } from '@microvm/runtime';
import { hasCode } from './system-error.js';

/**
 * Something that happens again and again and is waited for: a pulse between two waits is not lost, several
 * count as one.
 */
export class Pulse {
  #isPending = false;
  #wake: (() => void) | undefined;

  readonly fire = (): void => {
    this.#isPending = true;
    this.#wake?.();
  };

  async next(): Promise<void> {
    if (!this.#isPending) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#isPending = false;
    this.#wake = undefined;
  }
}

/**
 * Calls back with the name of what was made, written, renamed or removed in a folder; null: look. Answers
 * with how to stop.
 */
export function watchFolder(path: string, onChange: (name: string | null) => void): () => void {
  return openWatch(path, onChange);
}

/** Calls back when a file was written, by whatever name. Answers with how to stop. */
export function watchFile(path: string, onChange: () => void): () => void {
  return openWatch(path, () => onChange());
}

function openWatch(path: string, onChange: (name: string | null) => void): () => void {
  let watcher: FSWatcher;
  try {
    watcher = watch(path, { persistent: false }, (_event, name) => onChange(name));
  } catch (error) {
    if (!hasCode(error, 'ENOSPC', 'EMFILE')) throw error;
    // This error has nothing to do with space on a disk, though the system uses the same word.
    throw new VmRuntimeError('MICROVM_HOST_FAILURE', `watch "${path}": no inotify watch is left`, {
      details: { operation: `watch "${path}"` },
      cause: error,
      remedy: 'raise fs.inotify.max_user_watches and fs.inotify.max_user_instances',
    });
  }
  // The watched file went away: whoever waits will look and see.
  watcher.on('error', () => onChange(null));
  return () => watcher.close();
}
