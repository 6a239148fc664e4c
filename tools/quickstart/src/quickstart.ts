import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createMicrovm, type Microvm } from '@microvm/sdk';
import { childPids, findLeftovers, type FootprintQuery } from './footprint.js';
import { formatMs } from './format.js';
import { prepareImage, showHost } from './host-chapter.js';
import type { Screen } from './screen.js';
import { bootVm, destroyAll, renameAndStop, restoreTwo, runCommands, takeSnapshot } from './story.js';

const EXAMPLE = 'examples/hello/src/main.ts';

/** Runs the whole show; answers whether the host is as it was before. An abort ends it, and clears up. */
export async function runQuickstart(screen: Screen, signal: AbortSignal): Promise<boolean> {
  const stateDir = await mkdtemp(join(tmpdir(), 'microvm-quickstart-'));
  const instanceIds: string[] = [];
  const footprint: FootprintQuery = { stateDir, instanceIds, earlierChildren: await childPids() };
  try {
    // VMs go with this process, also when it is killed.
    const microvm = createMicrovm({ stateDir, defaults: { onOwnerDeath: 'destroy' } });
    try {
      await tellStory(screen, microvm, signal, instanceIds);
    } finally {
      await microvm.close();
    }
    const isClean = await showLeftovers(screen, footprint);
    if (isClean) await showExample(screen);
    return isClean;
  } finally {
    await rm(stateDir, { recursive: true, force: true });
  }
}

async function tellStory(
  screen: Screen,
  microvm: Microvm,
  signal: AbortSignal,
  instanceIds: string[],
): Promise<void> {
  const context = { screen, microvm, signal, instanceIds };
  await showHost(screen, microvm);
  await prepareImage(screen, signal);
  const vm = await bootVm(context);
  await runCommands(context, vm);
  const counted = await takeSnapshot(context, vm);
  const [one, two] = await restoreTwo(context, vm, counted);
  await renameAndStop(context, vm, one);
  await destroyAll(context, [vm, one, two], counted.snapshot);
}

async function showLeftovers(screen: Screen, footprint: FootprintQuery): Promise<boolean> {
  screen.chapter('What was left behind');
  const { stateDir, instanceIds } = footprint;
  const leftovers = await findLeftovers(footprint);
  for (const leftover of leftovers) screen.failed(leftover);
  if (leftovers.length === 0) {
    screen.done(
      `nothing: no file in ${stateDir}, no process and no socket of the ${String(instanceIds.length)} VMs`,
    );
  }
  screen.line(`total: ${formatMs(screen.elapsedMs)}`);
  return leftovers.length === 0;
}

async function showExample(screen: Screen): Promise<void> {
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  const source = await readFile(join(root, EXAMPLE), 'utf8');
  screen.chapter(`The same in your code (${EXAMPLE})`);
  screen.plain(`\n${source}`);
}
