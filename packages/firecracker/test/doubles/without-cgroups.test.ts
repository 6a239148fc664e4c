import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import { findCgroupMount } from '../../src/host/cgroups.js';

const run = promisify(execFile);
const mount = process.geteuid?.() === 0 ? await findCgroupMount() : undefined;

it.runIf(mount !== undefined)(
  'a VM that is destroyed leaves no process of its user, also where there is no cgroup to kill',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fc-no-cgroups-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const script = 'umount "$1" && shift && exec "$@"';
    const child = fileURLToPath(new URL('owner-without-cgroups.ts', import.meta.url));
    const node = [process.execPath, '--conditions=@microvm/source', '--import', 'tsx', child];
    const { stdout } = await run('unshare', [
      ...['--mount', '--propagation', 'private', 'sh', '-ec', script, 'sh', mount ?? ''],
      ...[...node, join(folder, 'state'), join(folder, 'registry')],
    ]);
    expect(JSON.parse(stdout)).toEqual({ limits: false, state: 'destroyed', forked: 'SIGKILL' });
  },
);
