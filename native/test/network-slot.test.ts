import { readdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import {
  createNetns,
  createNetworkSlot,
  createTap,
  createVeth,
  deleteNetns,
  deleteNetworkSlot,
  listAddresses,
  listLinks,
  listRoutes,
  netnsExists,
  setLink,
  spawnProcess,
  type NetworkSlotPlan,
} from '../dist/index.js';
import { rejection, runNode, temporaryFolder } from './fixture.js';
import { findLink, mountsBelow, reasonForSkip, slotNames, slotPlan } from './network-fixture.js';

const skip = await reasonForSkip();

function hostName(plan: NetworkSlotPlan): string {
  return plan.veths?.[0]?.host.name ?? '';
}

/** Fails unless nothing of a slot is left. */
async function expectNothing(plan: NetworkSlotPlan): Promise<void> {
  expect(readdirSync(dirname(plan.netns))).toEqual([]);
  expect(mountsBelow(dirname(plan.netns))).toBe(0);
  expect(await findLink(hostName(plan))).toBeUndefined();
  expect((await listRoutes()).filter(({ link }) => link === hostName(plan))).toEqual([]);
}

describe.skipIf(skip !== undefined)('a network slot', () => {
  test('has all of its plan, and is gone after one call', async () => {
    const names = slotNames();
    const plan = slotPlan(names);
    await createNetworkSlot(plan);
    const inside = { netns: plan.netns };
    const links = (await listLinks(inside)).map(({ name, kind, up }) => ({ name, kind, up }));
    expect(links).toEqual([
      { name: 'lo', kind: null, up: true },
      { name: 'tap0', kind: 'tap', up: true },
      { name: 'eth0', kind: 'veth', up: true },
    ]);
    const addresses = (await listAddresses(inside)).filter(({ scope }) => scope === 'global');
    expect(addresses.map(({ link, address }) => `${link} ${address}`).sort()).toEqual([
      `eth0 ${names.innerIp}/30`,
      'tap0 172.30.0.1/30',
      'tap0 fd00:1::1/64',
    ]);
    expect(await listRoutes(inside)).toContainEqual(
      expect.objectContaining({ to: '0.0.0.0/0', via: names.hostIp, link: 'eth0' }),
    );
    expect(await findLink(names.host)).toMatchObject({ up: true, carrier: true, alias: plan.netns });
    const child = await spawnProcess({
      file: '/bin/sh',
      args: ['-c', 'exit $(cat /proc/sys/net/ipv4/ip_forward)'],
      netns: plan.netns,
    });
    expect(await child.exited).toMatchObject({ exitCode: 1 });
    expect(await deleteNetworkSlot(plan)).toBe(true);
    await expectNothing(plan);
    expect(await deleteNetworkSlot(plan)).toBe(false);
  });

  test('can be made again at once under the same names and addresses', async () => {
    const plan = slotPlan();
    for (let round = 0; round < 20; ++round) {
      await createNetworkSlot(plan);
      await deleteNetworkSlot(plan);
    }
    await expectNothing(plan);
  });

  test('is made whole or not at all, and the error names what was in the way', async () => {
    const names = slotNames();
    const plan = slotPlan(names);
    const [tap, veth] = [plan.taps?.[0], plan.veths?.[0]];
    if (tap === undefined || veth === undefined) throw new Error('the plan lacks links');
    const noWay = [{ to: '10.0.0.0/8', via: '203.0.113.9' }];
    const broken: readonly [Partial<NetworkSlotPlan>, Record<string, unknown>][] = [
      [{ sysctls: { 'net.ipv4.no_such': '1' } }, { code: 'ENOENT', path: '/proc/sys/net/ipv4/no_such' }],
      [{ sysctls: { 'net.ipv4.ip_forward': 'x' } }, { code: 'EINVAL', syscall: 'write' }],
      [{ taps: [tap, { ...tap, name: 'tap1', mtu: 65535 }] }, { code: 'EINVAL', object: 'tap1' }],
      [
        { taps: [{ ...tap, routes: noWay }] },
        { code: 'ENETUNREACH', object: '10.0.0.0/8 via 203.0.113.9 dev tap0' },
      ],
      [{ veths: [veth, { ...veth, name: 'eth1', host: { name: 'lo' } }] }, { code: 'EEXIST', object: 'lo' }],
      [
        { veths: [{ ...veth, routes: noWay }] },
        { code: 'ENETUNREACH', object: '10.0.0.0/8 via 203.0.113.9 dev eth0', path: plan.netns },
      ],
      [
        { veths: [{ ...veth, host: { ...veth.host, routes: noWay } }] },
        { code: 'ENETUNREACH', object: `10.0.0.0/8 via 203.0.113.9 dev ${names.host}` },
      ],
    ];
    for (const [change, expected] of broken) {
      expect(await rejection(createNetworkSlot({ ...plan, ...change }))).toMatchObject(expected);
      await expectNothing(plan);
    }
    await createNetworkSlot(plan);
    expect(await rejection(createNetworkSlot(plan))).toMatchObject({ code: 'EEXIST', path: plan.netns });
    expect(await findLink(names.host)).toMatchObject({ up: true });
    expect(await netnsExists(plan.netns)).toBe(true);
  });

  test('of another is left alone, even under the same name', async () => {
    const owner = slotPlan();
    await createNetworkSlot(owner);
    const names = { ...slotNames(), host: hostName(owner) };
    const thief = slotPlan(names);
    expect(await rejection(createNetworkSlot(thief))).toMatchObject({ code: 'EEXIST', object: names.host });
    expect(await deleteNetworkSlot(thief)).toBe(false);
    expect(await findLink(names.host)).toMatchObject({ alias: owner.netns });
  });

  test('that is half made is removed whole', async () => {
    const plan = slotPlan();
    const { netns } = plan;
    const host = { name: hostName(plan) };
    // The maker died before it could mark the host's end as this slot's.
    const otherPath = join(temporaryFolder(), 'link');
    symlinkSync(netns, otherPath);
    const halves: readonly (() => Promise<unknown>)[] = [
      () => createNetns(netns),
      async () => {
        await createNetns(netns);
        await createTap({ netns, name: 'tap0' });
      },
      async () => {
        await createNetns(netns);
        await createVeth({ netns, name: 'eth0', host });
      },
      async () => {
        await createNetns(netns);
        await createVeth({ netns: otherPath, name: 'eth0', host });
      },
    ];
    for (const half of halves) {
      await half();
      expect(await deleteNetworkSlot(plan)).toBe(true);
      await expectNothing(plan);
    }
  });

  test('is removed from under a process that is still in it', async () => {
    const plan = slotPlan();
    await createNetworkSlot(plan);
    const child = await spawnProcess({ file: '/bin/sleep', args: ['1000'], netns: plan.netns });
    expect(await deleteNetworkSlot(plan)).toBe(true);
    await expectNothing(plan);
    child.kill('SIGKILL');
    await child.exited;
  });

  test('is whole or absent wherever an abort comes', async () => {
    const plan = slotPlan();
    let aborted = 0;
    for (let turns = 0; turns < 40; ++turns) {
      const controller = new AbortController();
      const made = createNetworkSlot(plan, { signal: controller.signal }).then(
        () => true,
        (error: unknown) => {
          expect(error).toBe(controller.signal.reason);
          return false;
        },
      );
      // Each turn of the event loop is a little later in the life of the slot.
      for (let turn = 0; turn < turns * 4; ++turn) await new Promise(setImmediate);
      controller.abort();
      if (await made) {
        expect(await findLink(hostName(plan))).toMatchObject({ up: true });
        expect(await deleteNetworkSlot(plan)).toBe(true);
      } else {
        aborted += 1;
      }
      await expectNothing(plan);
    }
    expect(aborted).toBeGreaterThan(0);
  });

  test('can be removed by plan after its maker was killed at any moment', async () => {
    const plan = slotPlan();
    const life = `const plan = JSON.parse(process.argv.at(-1));
      console.log('ready');
      for (;;) { await native.createNetworkSlot(plan); await native.deleteNetworkSlot(plan); }`;
    let found = 0;
    for (let round = 0; round < 12; ++round) {
      const maker = runNode(life, [JSON.stringify(plan)]);
      await maker.sees('ready');
      // Until there is something of the slot, and then a little more.
      while (!(await netnsExists(plan.netns))) await new Promise(setImmediate);
      for (let turn = 0; turn < round * 3; ++turn) await new Promise(setImmediate);
      maker.child.kill('SIGKILL');
      await maker.finished;
      if (await deleteNetworkSlot(plan)) found += 1;
      await expectNothing(plan);
    }
    expect(found).toBeGreaterThan(0);
  });

  test('is whole or absent when its worker is terminated or its process exits', async () => {
    const plan = slotPlan();
    const index = new URL('../dist/index.js', import.meta.url).href;
    const code = `import(${JSON.stringify(index)}).then(async (native) => {
      const { parentPort, workerData } = await import('node:worker_threads');
      parentPort.postMessage('ready');
      for (;;) { await native.createNetworkSlot(workerData); await native.deleteNetworkSlot(workerData); }
    })`;
    for (let round = 0; round < 8; ++round) {
      const worker = new Worker(code, { eval: true, workerData: plan });
      await new Promise((resolve) => worker.once('message', resolve));
      for (let turn = 0; turn < round * 5; ++turn) await new Promise(setImmediate);
      await worker.terminate();
      const isThere = await netnsExists(plan.netns);
      expect((await findLink(hostName(plan))) !== undefined).toBe(isThere);
      expect(await deleteNetworkSlot(plan)).toBe(isThere);
      await expectNothing(plan);
    }
    const exits = `const plan = JSON.parse(process.argv.at(-1));
      native.createNetworkSlot(plan); gc(); setImmediate(() => process.exit(7));`;
    const { code: exitCode, signal } = await runNode(exits, [JSON.stringify(plan)]).finished;
    expect({ exitCode, signal }).toEqual({ exitCode: 7, signal: null });
    await deleteNetworkSlot(plan);
    await expectNothing(plan);
  });

  test('works with links made by hand and goes with deleteNetns too', async () => {
    const names = slotNames();
    const plan = slotPlan(names);
    await createNetworkSlot(plan);
    await setLink({ link: names.host, up: false });
    expect(await deleteNetns(plan.netns)).toBe(true);
    await expectNothing(plan);
  });
});
