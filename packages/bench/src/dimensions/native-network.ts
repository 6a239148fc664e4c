import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  createNetworkSlot,
  deleteNetworkSlot,
  listAddresses,
  listRoutes,
  type NetworkSlotPlan,
} from '@microvm/native';
import type { BenchRun, Dimension, Measurement } from '../dimension.js';
import { interleave, timeMs } from '../interleave.js';
import { TemporaryFolder } from '../temporary-folder.js';

const run = promisify(execFile);
const MAC = '02:00:00:00:00:01';
const INNER = 'mvb-in';
/** The host's end of each side's pair. */
const HOST_LINK = { ours: `mvbo${String(process.pid)}`, theirs: `mvbt${String(process.pid)}` };

/** One slot: a TAP for the VM and a pair to the host, two addresses on each, a default route and one back. */
function slotPlan(folder: string): NetworkSlotPlan {
  return {
    netns: join(folder, 'slot'),
    taps: [{ name: 'tap0', mac: MAC, addresses: ['10.99.0.1/30', 'fd00:99::1/126'] }],
    veths: [
      {
        name: INNER,
        addresses: ['10.98.0.2/30'],
        routes: [{ to: 'default', via: '10.98.0.1' }],
        host: {
          name: HOST_LINK.ours,
          addresses: ['10.98.0.1/30'],
          routes: [{ to: '10.99.0.0/30', via: '10.98.0.2' }],
        },
      },
    ],
  };
}

/** The same by one command after the other, as scripts do it. */
function commands(netns: string): readonly (readonly string[])[] {
  const host = HOST_LINK.theirs;
  const inside = ['-n', netns];
  return [
    ['netns', 'add', netns],
    [...inside, 'link', 'set', 'lo', 'up'],
    [...inside, 'tuntap', 'add', 'dev', 'tap0', 'mode', 'tap'],
    [...inside, 'link', 'set', 'tap0', 'address', MAC],
    [...inside, 'addr', 'add', '10.99.0.1/30', 'dev', 'tap0'],
    [...inside, 'addr', 'add', 'fd00:99::1/126', 'dev', 'tap0', 'nodad'],
    [...inside, 'link', 'set', 'tap0', 'up'],
    ['link', 'add', host, 'type', 'veth', 'peer', 'name', INNER, 'netns', netns],
    [...inside, 'addr', 'add', '10.97.0.2/30', 'dev', INNER],
    [...inside, 'link', 'set', INNER, 'up'],
    ['addr', 'add', '10.97.0.1/30', 'dev', host],
    ['link', 'set', host, 'up'],
    [...inside, 'route', 'add', 'default', 'via', '10.97.0.1'],
    ['route', 'add', '10.96.0.0/30', 'via', '10.97.0.2'],
  ];
}

async function ours(plan: NetworkSlotPlan): Promise<number> {
  return timeMs(async () => {
    await createNetworkSlot(plan);
    await deleteNetworkSlot(plan);
  });
}

async function theirs(netns: string): Promise<number> {
  return timeMs(async () => {
    for (const args of commands(netns)) await run('ip', args);
    await run('ip', ['link', 'del', HOST_LINK.theirs]);
    await run('ip', ['netns', 'del', netns]);
  });
}

/** That there is something to be measured: all of the slot is really made. */
async function verify(plan: NetworkSlotPlan): Promise<void> {
  await createNetworkSlot(plan);
  const addresses = await listAddresses({ netns: plan.netns });
  const routes = await listRoutes({ netns: plan.netns });
  await deleteNetworkSlot(plan);
  for (const address of ['10.99.0.1/30', 'fd00:99::1/126', '10.98.0.2/30'])
    if (!addresses.some((found) => found.address === address)) throw new Error(`no ${address} in the slot`);
  if (!routes.some(({ to }) => to === '0.0.0.0/0')) throw new Error('no default route in the slot');
}

async function networkRows({ quick, log }: BenchRun): Promise<readonly Measurement[]> {
  await using folder = await TemporaryFolder.make();
  const plan = slotPlan(folder.path);
  const netns = `mvb-${String(process.pid)}`;
  const pairs = quick ? 2 : 20;
  log('native-network: making and removing slots');
  await verify(plan);
  const samples = await interleave(
    () => ours(plan),
    () => theirs(netns),
    { pairs, warmups: 1 },
  );
  return [
    {
      name: 'namespace, TAP, veth, 4 addresses, routes, and away again',
      unit: 'ms',
      ours: { label: 'by netlink', samples: samples.ours },
      theirs: { label: 'by ip commands', samples: samples.theirs },
      aim: { kind: 'ratio', atMost: 1 / 5 },
      parameters: { pairs, addresses: 4, commands: commands(netns).length + 2 },
    },
  ];
}

export const nativeNetwork: Dimension = {
  name: 'native-network',
  description: 'A network slot made and removed, against the same by ip commands. Needs root and iproute2.',
  needsQemu: false,
  run: networkRows,
};
