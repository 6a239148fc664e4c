import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { probeHost, type HostReport } from '../index.js';
import { cgroupMount } from './cgroup-fixture.js';
import { runNode, temporaryFolder } from './fixture.js';

function codesAbout(report: HostReport, word: string): string[] {
  return report.findings.filter(({ message }) => message.includes(word)).map(({ code }) => code);
}

test('tells what the kernel tells elsewhere', async () => {
  const report = await probeHost();
  expect(report.kernel).toBe(readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim());
  const meminfo = readFileSync('/proc/meminfo', 'utf8');
  const kib = (name: string): number => Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(meminfo)?.[1]);
  expect(report.memory.totalBytes).toBe(kib('MemTotal') * 1024);
  expect(report.memory.swapTotalBytes).toBe(kib('SwapTotal') * 1024);
  const sizes = existsSync('/sys/kernel/mm/hugepages') ? readdirSync('/sys/kernel/mm/hugepages') : [];
  expect(report.memory.hugePages.length).toBe(sizes.length);
  expect(report.cgroup.mount).toBe(cgroupMount() ?? null);
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  const types = new Set(mounts.map((line) => line.split(' ')[2]));
  const version = types.has('cgroup2')
    ? types.has('cgroup')
      ? 'hybrid'
      : 'v2'
    : types.has('cgroup')
      ? 'v1'
      : 'none';
  expect(report.cgroup.version).toBe(version);
  for (const { code, feature, message, remedy } of report.findings) {
    expect(code).toMatch(/^[A-Z0-9_]+$/);
    for (const text of [feature, message, remedy]) expect(text).not.toBe('');
  }
});

test('looks at folders, and leaves nothing in them', async () => {
  const folder = temporaryFolder();
  const report = await probeHost({ paths: [folder, join(folder, 'none'), '/proc'] });
  const [here, none, proc] = report.paths;
  const { blocks, bsize } = statfsSync(folder);
  expect(here).toMatchObject({
    path: folder,
    error: null,
    writeError: null,
    deviceId: statSync(folder).dev,
    totalBytes: blocks * bsize,
  });
  expect(readdirSync(folder)).toEqual([]);
  expect(none?.error).toBe('ENOENT');
  expect(codesAbout(report, join(folder, 'none'))).toEqual(['PATH_UNUSABLE']);
  expect(proc?.writeError).not.toBe(null);
  expect(codesAbout(report, '/proc')).toContain('PATH_NOT_WRITABLE');
});

/** Why no XFS can be mounted here, if so. */
function mountXfs(folder: string): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  const image = join(folder, 'image');
  const at = join(folder, 'xfs');
  mkdirSync(at);
  try {
    execFileSync('truncate', ['-s', '400M', image]);
    execFileSync('mkfs.xfs', ['-q', '-m', 'reflink=1', image], { stdio: 'pipe' });
    execFileSync('mount', ['-o', 'loop,nodev', image, at], { stdio: 'pipe' });
  } catch (error) {
    return (error as Error).message;
  }
  onTestFinished(() => void execFileSync('umount', [at]));
  return undefined;
}

test('sees reflinks and mount options, by an XFS of its own', async ({ skip }) => {
  const folder = temporaryFolder();
  const reason = mountXfs(folder);
  if (reason !== undefined) return skip(`no XFS can be mounted: ${reason}`);
  const at = join(folder, 'xfs');
  const report = await probeHost({ paths: [at] });
  expect(report.paths[0]).toMatchObject({ fileSystem: 'xfs', hasReflink: true, hasDevices: false });
  expect(codesAbout(report, at).sort()).toEqual(['PATH_LITTLE_SPACE', 'PATH_MOUNT_OPTIONS']);
});

test('a user without rights learns what is refused and why', async ({ skip }) => {
  if (process.getuid?.() !== 0) return skip('only root can become somebody else');
  const folder = temporaryFolder();
  rmSync(folder, { recursive: true });
  mkdirSync(folder, { mode: 0o755 });
  const run = runNode(
    `const report = await native.probeHost({ paths: [${JSON.stringify(folder)}] });
     const { status } = await import('node:fs').then((fs) => ({ status: fs.statSync('/proc/self/stat').uid }));
     console.log(JSON.stringify({ status, ...report }));`,
    [],
    { uid: 65534, gid: 65534, cwd: '/' },
  );
  const { code, output } = await run.finished;
  expect(code, output).toBe(0);
  const report = JSON.parse(output) as HostReport & { status: number };
  // What tried a user namespace did not make /proc/self belong to root.
  expect(report.status).toBe(65534);
  expect(report.namespaceErrors).toMatchObject({ network: 'EPERM', mount: 'EPERM' });
  expect(report.nftablesError).toBe('EPERM');
  expect(report.cgroup).toMatchObject({ base: null });
  expect(report.paths[0]?.writeError).toBe('EACCES');
  const codes = report.findings.map(({ code }) => code);
  expect(codes).toEqual(
    expect.arrayContaining(['NAMESPACE_REFUSED', 'NFTABLES_REFUSED', 'PATH_NOT_WRITABLE']),
  );
  if (report.cgroup.mount !== null) {
    expect(codes).toContain('CGROUP_NOT_WRITABLE');
    expect(report.cgroup.baseError).toBe('EACCES');
  }
});

test('an abort gives its reason', async () => {
  const reason = new Error('no more');
  await expect(probeHost({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const controller = new AbortController();
  const probed = probeHost({ signal: controller.signal });
  controller.abort(reason);
  await expect(probed.catch((error: unknown) => error)).resolves.toSatisfy(
    (end) => end === reason || (end as HostReport).kernel !== '',
  );
});

test.each([null, 5, { paths: '/tmp' }, { paths: [1] }, { paths: [''] }, { paths: ['a\0b'] }, { signal: {} }])(
  'wrong options are a TypeError at once: %j',
  (options) => {
    // @ts-expect-error wrong on purpose
    expect(() => probeHost(options)).toThrow(TypeError);
  },
);
