import { randomInt } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LocalImages } from '../../src/images/local-images.js';

/** What a child tells of itself: a step that it comes to, what it was answered, or that a round is over. */
export type ChildMessage =
  | { readonly kind: 'step' | 'round' }
  | { readonly kind: 'begin' | 'done'; readonly name: string; readonly digest: string | null };

export interface ChildInputs {
  readonly store: string;
  readonly stateDir: string;
  readonly sources: readonly { readonly source: string; readonly digest: string }[];
}

const NAMES = ['a', 'b', 'c'];

function tell(message: ChildMessage): void {
  process.send?.(message);
}

function pick<T>(items: readonly T[]): T {
  const item = items[randomInt(items.length)];
  if (item === undefined) throw new Error('nothing to pick');
  return item;
}

/** Imports, makes and destroys a VM, releases and collects, at random and without an end. */
async function work({ store, stateDir, sources }: ChildInputs): Promise<never> {
  const images = new LocalImages(store, stateDir);
  const { signal } = new AbortController();
  for (;;) {
    const name = pick(NAMES);
    const { source, digest } = pick(sources);
    tell({ kind: 'begin', name, digest });
    await images.import(source, name, { onProgress: () => tell({ kind: 'step' }) });
    tell({ kind: 'done', name, digest });
    const vm = join(stateDir, 'vms', pick(NAMES));
    const resolved = await images.resolve(name, { signal });
    await mkdir(vm, { recursive: true });
    // As the engine does: the record is there before the hold goes.
    await writeFile(join(vm, 'vm.json'), JSON.stringify({ vmId: name, spec: { image: resolved.digest } }));
    resolved.release?.();
    tell({ kind: 'step' });
    if (randomInt(2) === 0) await rm(join(stateDir, 'vms', pick(NAMES)), { recursive: true, force: true });
    if (randomInt(2) === 0) {
      tell({ kind: 'begin', name, digest: null });
      await images.release(name);
      tell({ kind: 'done', name, digest: null });
    }
    await images.gc(randomInt(3) === 0 ? { keepBytes: 10_000 } : {});
    tell({ kind: 'round' });
  }
}

process.once('message', (inputs) => void work(inputs as ChildInputs));
