import { dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  addAddress,
  addRoute,
  createNetns,
  createNetworkSlot,
  createTap,
  createVeth,
  deleteAddress,
  deleteLink,
  deleteNetns,
  deleteNetworkSlot,
  deleteRoute,
  listAddresses,
  listLinks,
  listRoutes,
  netnsExists,
  setLink,
  type NetworkCallOptions,
  type NetworkSlotPlan,
} from '../dist/index.js';
import { openDescriptors, threadName, threads } from './fixture.js';
import {
  linkPrefix,
  mountsBelow,
  reasonForSkip,
  slotNames,
  slotPlan,
  type SlotNames,
} from './network-fixture.js';

const skip = await reasonForSkip();
const LANES = 8;
/** A deleted link keeps its thread until the kernel has waited for all its readers. */

interface Held {
  readonly descriptors: number;
  readonly networkThreads: number;
  readonly links: number;
}

/** What this process holds; links are those of this test file. */
async function held(): Promise<Held> {
  return {
    descriptors: openDescriptors(),
    // A thread that takes turns stays for the next call, whatever its last one was.
    networkThreads: threads().filter((task) => /^mvm-net(-del)?$/.test(threadName(task))).length,
    links: (await listLinks()).filter(({ name }) => name.startsWith(linkPrefix)).length,
  };
}

/** Runs it often, in several lanes at once, and fails unless all that it took is given back. */
async function expectNoLeak(
  rounds: number,
  life: (lane: number, round: number) => Promise<void>,
): Promise<void> {
  const lanes = Array.from({ length: LANES }, (_, lane) => lane);
  const once = (round: number): Promise<unknown> => Promise.all(lanes.map((lane) => life(lane, round)));
  await once(0);
  await expect.poll(async () => (await held()).networkThreads).toBe(0);
  // The count itself has such a thread, which may still be ending.
  const before = { ...(await held()), networkThreads: 0 };
  for (let round = 0; round < rounds; ++round) await once(round);
  await expect.poll(held).toEqual(before);
}

/** Every third call is aborted, a little later each time. */
function sometimesAborted(round: number): NetworkCallOptions {
  if (round % 3 !== 0) return {};
  const controller = new AbortController();
  let turns = (round / 3) % 12;
  const next = (): void => {
    turns -= 1;
    if (turns < 0) controller.abort();
    else setImmediate(next);
  };
  setImmediate(next);
  return { signal: controller.signal };
}

async function settled(call: Promise<unknown>): Promise<void> {
  await call.catch(() => undefined);
}

describe.skipIf(skip !== undefined)('nothing leaks', () => {
  test('from slots, many at once, aborted or not', async () => {
    const plans = Array.from({ length: LANES }, () => slotPlan());
    await expectNoLeak(40, async (lane, round) => {
      const plan = plans[lane] as NetworkSlotPlan;
      await settled(createNetworkSlot(plan, sometimesAborted(round)));
      await settled(deleteNetworkSlot(plan, sometimesAborted(round + 1)));
      await deleteNetworkSlot(plan);
    });
    for (const { netns } of plans) expect(mountsBelow(dirname(netns))).toBe(0);
  });

  test('from namespaces and links', async () => {
    const names = Array.from({ length: LANES }, () => slotNames());
    await expectNoLeak(15, async (lane, round) => {
      const { netns, host } = names[lane] as SlotNames;
      const options = sometimesAborted(round);
      await settled(createNetns(netns, options));
      await settled(createTap({ netns, name: 'tap0' }, options));
      await settled(createVeth({ netns, name: 'eth0', host: { name: host } }, options));
      await settled(deleteLink({ netns, link: 'tap0' }, options));
      await settled(netnsExists(netns, options));
      await deleteLink({ link: host });
      await deleteNetns(netns);
    });
    for (const { netns } of names) expect(mountsBelow(dirname(netns))).toBe(0);
  });

  test('from addresses, routes, settings and lists, failing or not', async () => {
    const { netns } = slotNames();
    await createNetns(netns);
    for (let lane = 0; lane < LANES; ++lane) await createTap({ netns, name: `tap${lane}` });
    await expectNoLeak(40, async (lane, round) => {
      const options = sometimesAborted(round);
      const link = { netns, link: `tap${lane}` };
      const address = { ...link, address: `10.0.${lane}.1/24` };
      const route = { ...link, to: `10.1.${lane}.0/24`, via: `10.0.${lane}.2` };
      const changes = [addAddress(address, options), setLink({ ...link, mtu: 1300 + round }, options)];
      await Promise.all(changes.map(settled));
      for (let twice = 0; twice < 2; ++twice) await settled(addRoute(route, options));
      await Promise.all(
        [listLinks, listAddresses, listRoutes].map((list) => settled(list({ netns }, options))),
      );
      for (let twice = 0; twice < 2; ++twice) await deleteRoute(route);
      await deleteAddress(address);
    });
  });
});
