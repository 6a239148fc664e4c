import { type ChildProcess, fork } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { LocalImages } from '../../src/images/local-images.js';
import { call, ImagesFixture } from './fixture.js';
import type { ChildInputs, ChildMessage } from './kill-child.js';

const ROUNDS = Number(process.env['MICROVM_IMAGE_KILLS'] ?? 50);
// A round has some ten messages: a child lives for three rounds or so.
const MAX_MESSAGES = 60;

/** What names may stand for: two things while a call that moves the name was under way. */
type Names = Map<string, readonly (string | null)[]>;

/** Lets a child work until it has told so much, and kills it. Answers its rounds. */
async function killedAtWork(inputs: ChildInputs, names: Names): Promise<number> {
  const child: ChildProcess = fork(fileURLToPath(new URL('kill-child.ts', import.meta.url)), {
    execArgv: ['--conditions=@microvm/source', '--import', 'tsx'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  let left = randomInt(1, MAX_MESSAGES);
  let rounds = 0;
  child.on('message', (message: ChildMessage) => {
    if (message.kind === 'round') rounds += 1;
    if (message.kind === 'done') names.set(message.name, [message.digest]);
    if (message.kind === 'begin') {
      names.set(message.name, [...(names.get(message.name) ?? [null]), message.digest]);
    }
    left -= 1;
    if (left === 0) child.kill('SIGKILL');
  });
  child.send(inputs);
  expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
  return rounds;
}

/** The digests that the records of VMs name. */
async function recorded(stateDir: string): Promise<string[]> {
  const names = await readdir(join(stateDir, 'vms')).catch(() => []);
  const texts = await Promise.all(
    names.map((name) => readFile(join(stateDir, 'vms', name, 'vm.json'), 'utf8').catch(() => '')),
  );
  // A record that was cut off has the form of none; the test's child does not write durably.
  return texts.flatMap((text) => /sha256:[0-9a-f]{64}/.exec(text) ?? []);
}

test(`${ROUNDS} rounds with kills at random leave nothing over, and nothing is missing`, async () => {
  const fixture = await ImagesFixture.create();
  const stateDir = join(fixture.root, 'state');
  await mkdir(stateDir);
  const shared = { shared: 'x'.repeat(50_000) };
  const sources = [];
  for (const tree of [{ a: '1' }, { b: '2'.repeat(3000) }, { c: '3' }]) {
    sources.push(await fixture.layout([shared, tree]));
  }
  const inputs: ChildInputs = {
    store: fixture.store,
    stateDir,
    sources: sources.map(({ source, digest }) => ({ source, digest })),
  };
  const names: Names = new Map();
  for (let rounds = 0, kills = 0; rounds < ROUNDS || kills < ROUNDS / 5; kills += 1) {
    rounds += await killedAtWork(inputs, names);
    const images = new LocalImages(fixture.store);
    const listed = await images.list();
    for (const [name, meanings] of names) {
      const found = listed.find((image) => image.names.includes(`${name}:latest`))?.digest ?? null;
      expect(meanings).toContain(found);
      names.set(name, [found]);
    }
    for (const digest of await recorded(stateDir)) {
      const resolved = await images.resolve(digest, call);
      resolved.release?.();
    }
    for (const name of names.keys()) {
      if (names.get(name)?.[0] === null) continue;
      (await images.resolve(name, call)).release?.();
    }
    await removeBroken(stateDir);
    await expect.poll(async () => (await images.gc()).unreadable).toEqual([]);
    await expect.poll(async () => (await fixture.content())['holds']).toBe(0);
    await images.gc();
    expect(await images.verify()).toEqual([]);
    const needed = new Set([...(await recorded(stateDir)), ...[...names.values()].flat()]);
    needed.delete(null);
    expect(new Set((await images.list()).map(({ digest }) => digest))).toEqual(needed);
    expect(await fixture.content()).toMatchObject({
      ...{ work: 0, entries: needed.size, template: needed.size },
      // A manifest, a config and a layer of its own each, and the layer that all share.
      'blobs/sha256': needed.size === 0 ? 0 : 3 * needed.size + 1,
    });
  }
});

/** Records that the child was killed in the middle of: the engine's own are written durably. */
async function removeBroken(stateDir: string): Promise<void> {
  for (const name of await readdir(join(stateDir, 'vms')).catch(() => [])) {
    const text = await readFile(join(stateDir, 'vms', name, 'vm.json'), 'utf8').catch(() => '');
    if (!text.endsWith('}')) await rm(join(stateDir, 'vms', name), { recursive: true });
  }
}
