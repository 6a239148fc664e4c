import { watch, type FSWatcher } from 'node:fs';
import { VmRuntimeError } from '@microvm/runtime';
import { hasCode } from './system-error.js';

/** Something that happens again and again and is waited for: a pulse between two waits is not lost, several count as one. */
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

/** `change`: it was written. `rename`: it was made, renamed or removed. */
export type FileEvent = 'change' | 'rename';

type OnFileEvent = (name: string | null, event: FileEvent) => void;

/** Calls back when something happened to a file in a folder, or to the one file itself. Answers with how to stop. */
export function watchFolder(path: string, onChange: OnFileEvent): () => void {
  const watcher = openWatch(path, onChange);
  // The folder itself went away: whoever waits will look and see.
  watcher.on('error', () => onChange(null, 'rename'));
  return () => watcher.close();
}

function openWatch(path: string, onChange: OnFileEvent): FSWatcher {
  try {
    return watch(path, { persistent: false }, (event, name) => onChange(name, event));
  } catch (error) {
    if (!hasCode(error, 'ENOSPC', 'EMFILE')) throw error;
    // It has nothing to do with space on a disk, though the system uses the same word for it.
    throw new VmRuntimeError('MICROVM_HOST_FAILURE', `watch "${path}": no inotify watch is left`, {
      details: { operation: `watch "${path}"` },
      cause: error,
      remedy: 'raise fs.inotify.max_user_watches and fs.inotify.max_user_instances',
    });
  }
}
