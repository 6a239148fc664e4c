import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import {
  createNetns,
  deleteNetns,
  deleteNetworkSlot,
  listLinks,
  type LinkInfo,
  type NetworkError,
  type NetworkSlotPlan,
} from '../dist/index.js';

// Test files run at the same time.
const random = randomBytes(3);
let slots = 0;

/** What the names of the host's links of this test file begin with. */
export const linkPrefix = `mv${random.toString('hex')}-`;

/**
 * Why this process cannot make network namespaces, or undefined when it can. Said aloud, for a skip has a
 * reason.
 */
export async function reasonForSkip(): Promise<string | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'microvm-native-'));
  try {
    await createNetns(join(folder, 'probe'));
    await deleteNetns(join(folder, 'probe'));
    return undefined;
  } catch (error) {
    if ((error as NetworkError).code !== 'EPERM') throw error;
    const reason = `network namespaces cannot be made here: ${(error as Error).message}`;
    console.warn(`skipped: ${reason}`);
    return reason;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export interface SlotNames {
  readonly netns: string;
  /** The host's end of a pair. */
  readonly host: string;
  /** The host's and the inner address of the pair, without prefix; in a /30 of their own. */
  readonly hostIp: string;
  readonly innerIp: string;
}

/** Names for one slot, of nobody else; what bears them is gone at the end of the test. */
export function slotNames(): SlotNames {
  const folder = mkdtempSync(join(tmpdir(), 'microvm-native-'));
  slots += 1;
  const network = (random.readUIntBE(0, 3) + slots) % 0x4000;
  const base = `10.${240 + (network >> 12)}.${(network >> 4) & 0xff}`;
  const offset = (network & 0xf) * 4;
  const netns = join(folder, 'netns');
  const host = `${linkPrefix}${slots}`;
  onTestFinished(async () => {
    await deleteNetworkSlot({ netns, veths: [{ name: 'eth0', host: { name: host } }] });
    rmSync(folder, { recursive: true, force: true });
  });
  return { netns, host, hostIp: `${base}.${offset + 1}`, innerIp: `${base}.${offset + 2}` };
}

/**
 * A slot as a driver would make it: a TAP device for the guest, a pair to the host, four addresses and
 * routes.
 */
export function slotPlan(names: SlotNames = slotNames()): NetworkSlotPlan {
  const { netns, host, hostIp, innerIp } = names;
  return {
    netns,
    sysctls: { 'net.ipv4.ip_forward': '1' },
    taps: [
      {
        name: 'tap0',
        owner: 12345,
        mac: '02:00:00:00:00:01',
        mtu: 1400,
        addresses: ['172.30.0.1/30', 'fd00:1::1/64'],
      },
    ],
    veths: [
      {
        name: 'eth0',
        addresses: [`${innerIp}/30`],
        routes: [{ to: 'default', via: hostIp }],
        host: {
          name: host,
          addresses: [`${hostIp}/30`],
          routes: [{ to: `198.18.${slots % 256}.0/24`, via: innerIp }],
        },
      },
    ],
  };
}

export async function findLink(name: string, netns?: string): Promise<LinkInfo | undefined> {
  const links = await listLinks(netns === undefined ? {} : { netns });
  return links.find((link) => link.name === name);
}

/** The namespaces in which the threads of this process are. */
export function namespacesOfThreads(tasks: readonly string[]): Set<string> {
  const found = new Set<string>();
  for (const task of tasks) {
    try {
      found.add(readlinkSync(`/proc/self/task/${task}/ns/net`));
    } catch {
      // The thread has ended since.
    }
  }
  return found;
}

/** How many namespaces are mounted below a folder. */
export function mountsBelow(folder: string): number {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(' nsfs ') && line.includes(` ${folder}`)).length;
}
