import { readdir, readFile, readlink } from 'node:fs/promises';
import { listLinks } from '@microvm/native';

/** All that a host has and that a VM could leave behind. */
export interface Ledger {
  /** By command line, other than this process's. */
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

const OURS = /firecracker|jailer|microvm/;

/** What is there now. Of what everybody on the host makes only what bears our names counts. */
export async function takeLedger(folder: string): Promise<Ledger> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter(Boolean);
  const cgroupMount = mounts.find((line) => / - cgroup2 /.test(line))?.split(' ')[4];
  return {
    processes: await vmms(),
    cgroups: cgroupMount === undefined ? [] : await foldersBelow(`${cgroupMount}/microvm`),
    namespaces: await namesIn('/run/netns'),
    links: (await listLinks()).map(({ name }) => name).sort(),
    mounts: mounts.map((line) => line.split(' ')[4] ?? '').filter((path) => OURS.test(path)),
    loopDevices: (await namesIn('/sys/block')).filter((name) => /^loop\d/.test(name)),
    sockets: (await readFile('/proc/net/unix', 'utf8')).split('\n').flatMap((line) => {
      const path = line.split(/ +/)[7];
      return path !== undefined && OURS.test(path) ? [path] : [];
    }),
    files: (await readdir(folder, { recursive: true }).catch(() => [])).sort(),
  };
}

async function namesIn(path: string): Promise<string[]> {
  return (await readdir(path).catch(() => [])).sort();
}

async function foldersBelow(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => `${entry.parentPath}/${entry.name}`);
}

async function vmms(): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await namesIn('/proc')).filter((name) => /^\d+$/.test(name))) {
    const exe = await readlink(`/proc/${pid}/exe`).catch(() => '');
    if (/firecracker|jailer|microvm-watcher/.test(exe)) {
      found.push(`${exe} ${(await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).slice(0, 80)}`);
    }
  }
  return found.sort();
}
