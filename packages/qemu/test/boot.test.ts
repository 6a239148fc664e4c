import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { outputOf } from '@microvm/conformance/linux-guest';
import { isVmRuntimeError } from '@microvm/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createQemuRuntime, probeQemu } from '../src/index.js';
import { imageDefaults } from './factory.js';
import { openForTest } from './open-runtime.js';

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'qemu-boot-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function readConsole(console: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of console) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function writeProgram(path: string, script: string): Promise<string> {
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

describe('a boot', () => {
  it('works in a state directory whose path has 200 characters', async () => {
    const folder = await makeFolder();
    const stateDir = join(folder, 'x'.repeat(100), 'y'.repeat(200 - folder.length - 102));
    expect(stateDir).toHaveLength(200);
    const runtime = await openForTest({ stateDir });
    await runtime.createVmWithSpec('deep', { entropy: {}, vcpuCount: 2, memSizeMib: 192 });
    await runtime.startVm('deep');
    const guest = await runtime.guest('deep');
    expect(await outputOf(guest, 'nproc; ls /sys/class/misc/hw_random > /dev/null && echo rng')).toBe(
      '2\nrng',
    );
  });

  it('is made again when the guest hangs early', async () => {
    const folder = await makeFolder();
    // The first QEMU never lets its CPUs run: as silent as a kernel that waits for a tick.
    const once = `case " $* " in *" -name "*) [ -e ${folder}/hung ] || { touch ${folder}/hung; set -- "$@" -S; };; esac`;
    const qemuPath = await writeProgram(join(folder, 'qemu'), `${once}\nexec qemu-system-x86_64 "$@"`);
    const runtime = await openForTest({ qemuPath, bootSilenceMs: 6000, accelerator: 'tcg' });
    await runtime.createVm('again');
    await runtime.startVm('again', { timeoutMs: 600_000 }).catch(async (error: unknown) => {
      throw new Error(`console: ${await readConsole(runtime.consoleVm('again'))}`, { cause: error });
    });
    // Not ticks, which a busy host delays: its clock would go slow.
    const clock = 'cat /sys/devices/system/clocksource/clocksource0/current_clocksource';
    expect(await outputOf(await runtime.guest('again'), clock)).toMatch(/^tsc(-early)?$/);
  });

  it('ends by its deadline when the guest never answers, and the attempt is gone', async () => {
    const folder = await makeFolder();
    const qemuPath = await writeProgram(join(folder, 'qemu'), 'exec qemu-system-x86_64 "$@" -S');
    const runtime = await openForTest({ qemuPath });
    await runtime.createVm('stuck');
    const error = await runtime.startVm('stuck', { timeoutMs: 3000 }).catch((thrown: unknown) => thrown);
    expect(isVmRuntimeError(error, 'MICROVM_TIMEOUT')).toBe(true);
    expect(await runtime.getVm('stuck')).toMatchObject({ state: 'created' });
    expect((await runtime.getVm('stuck'))?.vmm).toBeUndefined();
  });

  it('fails with the last words of a guest that panics before it is ready', async () => {
    const { kernelPath = '' } = await imageDefaults();
    const stateDir = await makeFolder();
    const runtime = await createQemuRuntime({ stateDir, defaults: { kernelPath } });
    onTestFinished(() => runtime.close());
    await runtime.createVm('rootless');
    const error = await runtime.startVm('rootless').catch((thrown: unknown) => thrown);
    expect(isVmRuntimeError(error, 'MICROVM_GUEST_UNREACHABLE') && error.details.reason).toContain('panic');
    expect((error as Error).message).toContain('Unable to mount root fs');
    await runtime.destroyVm('rootless');
  });

  it('fails with the words of a QEMU that does not start', async () => {
    const folder = await makeFolder();
    const kernelPath = join(folder, 'kernel');
    await writeFile(kernelPath, 'this is no kernel');
    const runtime = await openForTest({ defaults: { kernelPath } });
    await runtime.createVm('broken');
    const error = await runtime.startVm('broken').catch((thrown: unknown) => thrown);
    if (!isVmRuntimeError(error, 'MICROVM_VMM_EXITED')) throw error;
    expect(error.details).toMatchObject({ exitCode: 1, signal: null });
    expect(error.details.lastLogLines.join('\n')).toMatch(/vmm\.log: .*kernel/i);
    expect((await runtime.getVm('broken'))?.state).toBe('created');
  });

  it.each([
    ['spec.kernelPath', { kernelPath: '/nowhere/vmlinux' }],
    ['spec.initrdPath', { initrdPath: '/nowhere/initrd' }],
    ['spec.rootDrive.path', { rootDrive: { path: '/dev/null' } }],
    ['spec.drives[0].path', { drives: [{ driveId: 'a', path: '/' }] }],
  ])('is refused at create when %s cannot be read', async (path, spec) => {
    const runtime = await openForTest();
    const error = await runtime.createVmWithSpec('lost', spec).catch((thrown: unknown) => thrown);
    expect(isVmRuntimeError(error, 'MICROVM_INVALID_ARGUMENT') && error.details.path).toBe(path);
    expect(await runtime.listVms()).toEqual([]);
  });
});

describe('the host', () => {
  it('is unsupported without QEMU, which says what to install and makes nothing', async () => {
    const stateDir = join(await makeFolder(), 'state');
    const options = { stateDir, qemuPath: 'qemu-system-nowhere' };
    const report = await probeQemu(options);
    expect(report).toMatchObject({
      usable: false,
      findings: expect.arrayContaining([expect.objectContaining({ code: 'qemu-missing' })]) as unknown,
    });
    const error = await createQemuRuntime(options).catch((thrown: unknown) => thrown);
    if (!isVmRuntimeError(error, 'MICROVM_HOST_UNSUPPORTED')) throw error;
    expect(error.details.findings).toContain('qemu-missing');
    expect(error.remedy).toContain('apt-get install qemu-system-x86');
  });

  it('is usable with QEMU, and says what executes guest code', async () => {
    const report = await probeQemu({ accelerator: 'tcg' });
    expect(report).toMatchObject({ driver: 'qemu', usable: true, accelerator: 'tcg' });
    expect(report.vmmVersion).toMatch(/^\d+\.\d+\.\d+$/);
    expect(report.findings.map(({ code }) => code)).toContain('emulated');
  });

  it('gets wrong settings named', async () => {
    const wrong = { accelerator: 'hvf' } as never;
    await expect(createQemuRuntime(wrong)).rejects.toMatchObject({
      details: { path: 'options.accelerator' },
    });
    await expect(createQemuRuntime({ bootSilenceMs: 0 })).rejects.toMatchObject({
      details: { path: 'options.bootSilenceMs' },
    });
  });
});
