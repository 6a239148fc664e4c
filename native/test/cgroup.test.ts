import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createCgroup, killCgroup, spawnProcess, type SpawnedProcess } from '../dist/index.js';
import { cgroupMount, cgroupPath, processesOf, reasonForSkip } from './cgroup-fixture.js';
import { rejection, temporaryFolder } from './fixture.js';

const skip = reasonForSkip();
const mount = cgroupMount() ?? '/none';

function sleeper(cgroup: string, script = 'sleep 1000'): Promise<SpawnedProcess> {
  return spawnProcess({ file: 'sh', args: ['-c', `${script}; true`], cgroup });
}

/** A controller that cgroup v2 has here, and one that it has not. */
function controllers(): { present: string | undefined; absent: string } {
  const list = readFileSync(join(mount, 'cgroup.controllers'), 'utf8').trim().split(' ').filter(Boolean);
  const settable = ['pids', 'memory', 'cpu', 'hugetlb'];
  return {
    present: settable.find((name) => list.includes(name)),
    absent: settable.find((name) => !list.includes(name)) ?? 'nonesuch',
  };
}

const LIMIT: Record<string, [file: string, value: number, reads: string]> = {
  pids: ['pids.max', 77, '77'],
  memory: ['memory.max', 67_108_864, '67108864'],
  cpu: ['cpu.weight', 50, '50'],
  hugetlb: ['hugetlb.2MB.max', 4_194_304, '4194304'],
};

if (skip !== undefined) console.warn(`cgroups: skipped, ${skip}`);

describe.skipIf(skip !== undefined)('killCgroup', () => {
  test('kills all processes of a tree, waits for their end and removes it', async () => {
    const path = cgroupPath();
    await createCgroup(join(path, 'a', 'b'));
    await createCgroup(join(path, 'c'));
    const children = await Promise.all(
      ['', 'a/b', 'c'].map((name) => sleeper(join(path, name), 'trap "" TERM; sleep 1000')),
    );
    await expect.poll(() => processesOf(join(path, 'a/b')).length).toBe(2);
    expect(await killCgroup(path)).toMatchObject({ existed: true });
    expect(existsSync(path)).toBe(false);
    for (const child of children)
      expect(await child.ref().exited).toEqual({ exitCode: null, signal: 'SIGKILL' });
  });

  test('is content when there is none, also many times at once', async () => {
    const path = cgroupPath();
    expect(await killCgroup(path)).toEqual({ existed: false, oomKills: null });
    await createCgroup(path);
    await sleeper(path);
    const ends = await Promise.all(Array.from({ length: 8 }, () => killCgroup(path)));
    expect(ends.some(({ existed }) => existed)).toBe(true);
    expect(existsSync(path)).toBe(false);
  });

  test('kills the frozen too', async () => {
    const path = cgroupPath();
    await createCgroup(path);
    const child = await sleeper(path);
    writeFileSync(join(path, 'cgroup.freeze'), '1');
    await expect.poll(() => readFileSync(join(path, 'cgroup.events'), 'utf8')).toContain('frozen 1');
    expect(await killCgroup(path)).toMatchObject({ existed: true });
    expect((await child.ref().exited).signal).toBe('SIGKILL');
  });

  test('kills what comes in while it kills', async () => {
    const path = cgroupPath();
    await createCgroup(path);
    let isGone = false;
    const spawner = (async () => {
      const started: SpawnedProcess[] = [];
      while (!isGone) {
        const child = await sleeper(path).catch(() => undefined);
        if (child !== undefined) started.push(child.ref());
      }
      return started;
    })();
    await expect.poll(() => processesOf(path).length).toBeGreaterThan(4);
    await killCgroup(path);
    isGone = true;
    for (const child of await spawner) expect((await child.exited).signal).toBe('SIGKILL');
    expect(existsSync(path)).toBe(false);
  });

  test('touches nothing but a cgroup, and not its own', async () => {
    const folder = temporaryFolder();
    expect(await rejection(killCgroup(folder))).toMatchObject({ code: 'EINVAL', path: folder });
    expect(existsSync(folder)).toBe(true);
    expect(await rejection(killCgroup(mount))).toMatchObject({ code: 'EBUSY', path: mount });
    const path = cgroupPath();
    await createCgroup(join(path, 'inner'));
    const child = await spawnProcess({
      file: process.execPath,
      args: [
        '--input-type=module',
        '-e',
        `import { killCgroup } from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)};
         const error = await killCgroup(${JSON.stringify(path)}).catch((error) => error);
         process.exitCode = error.code === 'EDEADLK' ? 7 : 1;`,
      ],
      cgroup: join(path, 'inner'),
    });
    expect(await child.ref().exited).toEqual({ exitCode: 7, signal: null });
  });

  test('a time-out names the cgroup and who is left in it', async () => {
    const path = cgroupPath();
    await createCgroup(path);
    const child = await sleeper(path);
    // Not even SIGKILL ends a process within no time at all, or it is gone already.
    const end = await killCgroup(path, { timeoutMs: 0 }).catch((error: unknown) => error);
    if (end instanceof Error) {
      expect(end).toMatchObject({ code: 'ETIMEDOUT', syscall: 'poll', path });
      expect(end).toHaveProperty('detail', expect.stringMatching(/^still has \d+ processes/));
    }
    await killCgroup(path);
    expect((await child.ref().exited).signal).toBe('SIGKILL');
  });

  test('an abort gives its reason; another call ends the work', async () => {
    const path = cgroupPath();
    await createCgroup(path);
    const child = await sleeper(path);
    const reason = new Error('no more');
    await expect(killCgroup(path, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(processesOf(path)).toContain(child.identity.pid);
    const controller = new AbortController();
    const killed = killCgroup(path, { signal: controller.signal }).catch((error: unknown) => error);
    controller.abort(reason);
    expect([reason, expect.objectContaining({ existed: true })]).toContainEqual(await killed);
    await killCgroup(path);
    expect(existsSync(path)).toBe(false);
  });
});

describe.skipIf(skip !== undefined)('createCgroup', () => {
  test.skipIf(skip !== undefined || controllers().present !== 'memory')(
    'leaves out a swap limit that the kernel has no file for',
    async () => {
      const path = cgroupPath();
      await createCgroup(path, { limits: { 'memory.swap.unaccounted': 0, 'memory.max': 67_108_864 } });
      expect(readFileSync(join(path, 'memory.max'), 'utf8').trim()).toBe('67108864');
      const other = createCgroup(cgroupPath(), { limits: { 'memory.unaccounted': 0 } });
      expect(await rejection(other)).toMatchObject({ code: 'ENOENT' });
    },
  );

  test('is where a child is born, with what is above it', async () => {
    const path = cgroupPath();
    await createCgroup(join(path, 'x', 'y'));
    const child = await sleeper(join(path, 'x', 'y'));
    const own = readFileSync(`/proc/${child.identity.pid}/cgroup`, 'utf8');
    expect(own).toContain(`0::${path.slice(mount.length)}/x/y\n`);
    expect(await rejection(createCgroup(join(path, 'x', 'y')))).toMatchObject({
      code: 'EEXIST',
      syscall: 'mkdir',
      path: join(path, 'x', 'y'),
    });
  });

  test.skipIf(controllers().present === undefined)('switches controllers on and sets limits', async () => {
    const [file, value, reads] = LIMIT[controllers().present ?? 'pids'] ?? ['', 0, ''];
    const path = cgroupPath();
    await createCgroup(join(path, 'x', 'y'), { limits: { [file]: value, 'cgroup.max.depth': ['7', 5] } });
    expect(readFileSync(join(path, 'x', 'y', file), 'utf8').trim()).toBe(reads);
    expect(readFileSync(join(path, 'x', 'y', 'cgroup.max.depth'), 'utf8').trim()).toBe('5');
    expect(readFileSync(join(path, 'cgroup.subtree_control'), 'utf8')).toContain(file.split('.')[0]);
  });

  test('leaves nothing when a limit is refused', async () => {
    const path = cgroupPath();
    const { absent, present } = controllers();
    const missing = await rejection(createCgroup(path, { limits: { [`${absent}.max`]: 1 } }));
    expect(missing).toMatchObject({ code: 'ENOTSUP', object: absent, path: mount });
    expect(missing.message).toContain(absent);
    expect(existsSync(path)).toBe(false);
    const wrong = await rejection(createCgroup(path, { limits: { 'cgroup.max.depth': 'deep' } }));
    expect(wrong).toMatchObject({ code: 'EINVAL', syscall: 'write', path: join(path, 'cgroup.max.depth') });
    expect(existsSync(path)).toBe(false);
    if (present === undefined) return;
    const unknown = await rejection(createCgroup(path, { limits: { [`${present}.nonesuch`]: 1 } }));
    expect(unknown).toMatchObject({
      code: 'ENOENT',
      syscall: 'open',
      path: join(path, `${present}.nonesuch`),
    });
    expect(existsSync(path)).toBe(false);
  });

  test.skipIf(controllers().present === undefined)('a cgroup with processes can give no limits', async () => {
    const present = controllers().present ?? '';
    const [file, value] = LIMIT[present] ?? ['', 0];
    const path = cgroupPath();
    await createCgroup(path);
    await sleeper(path);
    const refused = await rejection(createCgroup(join(path, 'x'), { limits: { [file]: value } }));
    expect(refused).toMatchObject({
      code: 'EBUSY',
      object: present,
      path: join(path, 'cgroup.subtree_control'),
    });
    expect(existsSync(join(path, 'x'))).toBe(false);
  });

  test('works in cgroup v2 only', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'above'));
    const path = join(folder, 'above', 'x', 'y');
    expect(await rejection(createCgroup(path))).toMatchObject({
      code: 'EINVAL',
      path: join(folder, 'above'),
    });
    expect(existsSync(join(folder, 'above', 'x'))).toBe(false);
  });
});

test.each([
  [{ limits: { '../x': 1 } }],
  [{ limits: { 'memory.max/../y': 1 } }],
  [{ limits: { memory: 1 } }],
  [{ limits: { 'memory.max': -1 } }],
  [{ limits: { 'memory.max': 1.5 } }],
  [{ limits: { 'memory.max': '' } }],
  [{ limits: { 'memory.max': null } }],
  [{ limits: { 'io.max': ['8:0 rbps=1', 'a\nb'] } }],
  [{ limits: null }],
  [{ signal: 1 }],
])('wrong limits are a TypeError at once: %j', (options) => {
  // @ts-expect-error wrong on purpose
  expect(() => createCgroup('/sys/fs/cgroup/none', options)).toThrow(TypeError);
});

test.each([[1], [''], ['a\0b'], [undefined]])('a wrong path is a TypeError at once: %j', (path) => {
  // @ts-expect-error wrong on purpose
  expect(() => createCgroup(path)).toThrow(TypeError);
  // @ts-expect-error wrong on purpose
  expect(() => killCgroup(path)).toThrow(TypeError);
});

test.each([-1, 0.5, NaN, '1', 2 ** 31])('a wrong time-out is a TypeError at once: %j', (timeoutMs) => {
  // @ts-expect-error wrong on purpose
  expect(() => killCgroup('/sys/fs/cgroup/none', { timeoutMs })).toThrow(TypeError);
});
