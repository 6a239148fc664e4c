import { execFileSync } from 'node:child_process';
import { chmod, copyFile, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fakeFirecrackerPath, fakeJailerPath } from '@microvm/fake-firecracker';
import type { HostReport } from '@microvm/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import { linkageOf } from '../src/host/linkage.js';
import { createFirecrackerRuntime, probeFirecracker } from '../src/index.js';

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fc-inspect-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A program that passes every question on to Firecracker. */
async function makeScript(): Promise<string> {
  const path = join(await makeFolder(), 'firecracker');
  await writeFile(path, `#!/bin/sh\nexec '${fakeFirecrackerPath()}' "$@"\n`);
  await chmod(path, 0o755);
  return path;
}

function probe(firecrackerPath: string, jail: boolean): Promise<HostReport> {
  return probeFirecracker({
    firecrackerPath,
    jailerPath: fakeJailerPath(),
    kvm: 'unchecked',
    defaults: { jail },
  });
}

describe('a script in place of Firecracker', () => {
  it.runIf(process.geteuid?.() === 0)('is refused for a jail, where its interpreter is not', async () => {
    const { usable, findings } = await probe(await makeScript(), true);
    expect(usable).toBe(false);
    expect(findings).toContainEqual(
      expect.objectContaining({
        code: 'firecracker-not-static',
        severity: 'error',
        message: expect.stringContaining('no ELF program') as string,
      }),
    );
  });

  it('will do without a jail', async () => {
    expect(await probe(await makeScript(), false)).toMatchObject({ usable: true });
  });
});

describe.runIf(process.geteuid?.() === 0)('a state directory', () => {
  const open = {
    firecrackerPath: fakeFirecrackerPath(),
    jailerPath: fakeJailerPath(),
    kvm: 'unchecked',
  } as const;

  /** A folder that is to be made, on a file system with these options of mount(8). */
  async function onMountWith(options: string): Promise<string> {
    const point = await makeFolder();
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', point]);
    onTestFinished(() => void execFileSync('umount', [point]));
    return join(point, 'state');
  }

  it.each([true, false])('that is mounted noexec is refused at the open; jail: %s', async (jail) => {
    const stateDir = await onMountWith('noexec');
    const opened = createFirecrackerRuntime({
      ...open,
      stateDir,
      defaults: { jail, kernelPath: '/dev/null' },
    });
    await expect(opened).rejects.toMatchObject({
      code: 'MICROVM_HOST_UNSUPPORTED',
      details: { findings: ['state-dir-noexec'] },
      message: expect.stringContaining(stateDir) as string,
      remedy: expect.stringContaining('remount,exec') as string,
    });
  });

  it('that is mounted nodev is refused for jails, and will do without', async () => {
    const stateDir = await onMountWith('nodev');
    const jailed = await probeFirecracker({ ...open, stateDir });
    expect(jailed).toMatchObject({ usable: false });
    expect(jailed.findings).toContainEqual(
      expect.objectContaining({ code: 'state-dir-nodev', severity: 'error' }),
    );
    await using runtime = await createFirecrackerRuntime({
      ...open,
      stateDir,
      defaults: { jail: false, kernelPath: '/dev/null' },
    });
    await expect(runtime.createVmWithSpec('a', { jail: true })).rejects.toMatchObject({
      code: 'MICROVM_UNSUPPORTED',
    });
  });

  it('whose mount allows both is nothing to be told of', async () => {
    const { findings } = await probeFirecracker({ ...open, stateDir: await onMountWith('exec,dev') });
    expect(findings.map(({ code }) => code)).not.toContainEqual(expect.stringMatching(/noexec|nodev/));
  });
});

describe('the linkage of a program', () => {
  it('is static for the double, and dynamic for Node', async () => {
    expect(await linkageOf(fakeFirecrackerPath())).toBe('static');
    expect(await linkageOf(process.execPath)).toBe('dynamic');
  });

  it.each([0, 3, 63, 64, 100])('is none for the first %i bytes of a program', async (sizeBytes) => {
    const path = join(await makeFolder(), 'cut');
    await copyFile(fakeFirecrackerPath(), path);
    await truncate(path, sizeBytes);
    expect(await linkageOf(path)).toBe('not-elf');
  });
});
