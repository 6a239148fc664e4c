import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { readMounts } from '@microvm/driver-kit';
import { listLinks } from '@microvm/native';

/** All that a host has and that a VM could leave behind. */
export interface Ledger {
  readonly processes: readonly string[];
  readonly cgroups: readonly string[];
  /** Named network namespaces. */
  readonly namespaces: readonly string[];
  readonly links: readonly string[];
  readonly mounts: readonly string[];
  readonly loopDevices: readonly string[];
  /** Paths of bound unix sockets. */
  readonly sockets: readonly string[];
  readonly files: readonly string[];
}

export interface LedgerOptions {
  /** What the runtime of the test may write to. */
  readonly stateDir: string;
  /**
   * `host`: all that bears our names, for a host that nobody else uses. `state`: what can be told to be of
   * this state directory, beside other runtimes and tests.
   */
  readonly scope: 'host' | 'state';
  /** With the scope `state`: what names its cgroups; undefined while there is none. */
  readonly ownerId?: string | undefined;
}

const OURS = /firecracker|jailer|microvm/;

export async function takeLedger({ stateDir, scope, ownerId }: LedgerOptions): Promise<Ledger> {
  const mounts = await readMounts();
  const cgroups = mounts.find(({ type }) => type === 'cgroup2')?.point ?? '/nowhere';
  const isTheirs = (path: string): boolean => (scope === 'host' ? OURS.test(path) : path.includes(stateDir));
  const onlyHost = (names: readonly string[]): readonly string[] => (scope === 'host' ? names : []);
  return {
    processes: await processes(isTheirs),
    cgroups: await foldersBelow(join(cgroups, 'microvm', scope === 'host' ? '' : (ownerId ?? 'nobody'))),
    namespaces: onlyHost(await namesIn('/run/netns')),
    links: onlyHost((await listLinks()).map(({ name }) => name).sort()),
    mounts: mounts.map(({ point }) => point).filter(isTheirs),
    loopDevices: onlyHost((await namesIn('/sys/block')).filter((name) => /^loop\d/.test(name))),
    sockets: (await readFile('/proc/net/unix', 'utf8'))
      .split('\n')
      .map((line) => line.split(/ +/)[7] ?? '')
      .filter(isTheirs)
      .sort(),
    files: (await readdir(stateDir, { recursive: true }).catch(() => [])).sort(),
  };
}

async function namesIn(path: string): Promise<string[]> {
  return (await readdir(path).catch(() => [])).sort();
}

async function foldersBelow(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => `${entry.parentPath}/${entry.name}`);
}

/** By what they execute, where they are, and how they were called. */
async function processes(isTheirs: (path: string) => boolean): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await namesIn('/proc')).filter((name) => /^\d+$/.test(name))) {
    if (Number(pid) === process.pid) continue;
    const links = await Promise.all(
      ['exe', 'root', 'cwd'].map((name) => readlink(`/proc/${pid}/${name}`).catch(() => '')),
    );
    const exe = links[0] ?? '';
    if (links.some(isTheirs) && /firecracker|jailer|watcher/.test(exe)) found.push(links.join(' '));
  }
  return found.sort();
}
