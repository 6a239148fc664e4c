import { describe, expect, it } from 'vitest';
import { FolderSync } from '../src/engine/folder-sync.js';

/** Syncs that end when told to. */
function makeDisk() {
  const ends: { resolve: () => void; reject: (error: Error) => void }[] = [];
  const sync = () => new Promise<void>((resolve, reject) => ends.push({ resolve, reject }));
  return { ends, folder: new FolderSync(sync) };
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe('FolderSync', () => {
  it('gives all who come during a sync the next one, which begins after they came', async () => {
    const { ends, folder } = makeDisk();
    const done: string[] = [];
    void folder.run().then(() => done.push('first'));
    const others = ['second', 'third'].map((name) => folder.run().then(() => done.push(name)));
    expect(ends).toHaveLength(1);
    ends[0]?.resolve();
    await settled();
    expect(done).toEqual(['first']);
    expect(ends).toHaveLength(2);
    const late = folder.run().then(() => done.push('late'));
    ends[1]?.resolve();
    await Promise.all(others);
    await settled();
    expect(done).toEqual(['first', 'second', 'third']);
    ends[2]?.resolve();
    await late;
    expect(ends).toHaveLength(3);
  });

  it('rejects for those whose sync failed, and for nobody else', async () => {
    const { ends, folder } = makeDisk();
    const first = folder.run();
    const second = folder.run();
    ends[0]?.reject(new Error('the disk is full'));
    await expect(first).rejects.toThrow('the disk is full');
    await settled();
    ends[1]?.resolve();
    await second;
  });

  it('begins at once when nothing is under way', async () => {
    const { ends, folder } = makeDisk();
    for (const count of [1, 2]) {
      const run = folder.run();
      expect(ends).toHaveLength(count);
      ends.at(-1)?.resolve();
      await run;
    }
  });
});
