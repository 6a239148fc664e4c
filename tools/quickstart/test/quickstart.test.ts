import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';

const tsx = createRequire(import.meta.url).resolve('tsx');
const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const NODE_ARGS = ['--import', tsx, '--conditions=@microvm/source', main];
const run = promisify(execFile);
let env: NodeJS.ProcessEnv = {};

/** Its state goes below a folder of the test, so that what is left can be seen. */
beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'quickstart-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  env = { ...process.env, TMPDIR: folder, MICROVM_DRIVER: 'qemu', NO_COLOR: '1' };
});

/** What the show printed, and how it ended if not well: then a reader needs both. */
const show = async () => {
  try {
    const { stdout } = await run(process.execPath, NODE_ARGS, { env });
    return { stdout, failure: undefined };
  } catch (error) {
    return { stdout: (error as { stdout: string }).stdout, failure: error };
  }
};

const stateDirs = async () =>
  (await readdir(String(env['TMPDIR']))).filter((name) => name.startsWith('microvm-'));

describe('the quickstart', () => {
  it('shows a VM from boot to the last trace, with the source of the example at the end', async () => {
    const { stdout, failure } = await show();
    expect(failure, stdout).toBeUndefined();
    const example = new URL('../../../examples/hello/src/main.ts', import.meta.url);
    expect(stdout).toMatch(/console │ \[ +\d+\.\d+\] Linux version/);
    expect(stdout).toMatch(/Linux microvm \S+ .* x86_64 GNU\/Linux/);
    expect(stdout).toContain('303 primes below 2000');
    expect(stdout).toMatch(/the guest stood still for .*; .* on disk/);
    const counted = [...stdout.matchAll(/^ +\d+\.\d+ s {5}(\S+) +(\d+) → (\d+)$/gm)];
    expect(counted.map(([, vmId]) => vmId)).toEqual([expect.stringMatching(/^vm-/), 'clone-1', 'clone-2']);
    for (const [, , from, to] of counted) expect(Number(to)).toBeGreaterThan(Number(from));
    expect(stdout).toContain('"clone-1" is "tenant-7"');
    expect(stdout).toMatch(/✔ nothing: no file in \S+, no process and no socket of the 3 VMs/);
    expect(stdout.trimEnd().endsWith((await readFile(example, 'utf8')).trimEnd())).toBe(true);
    expect(await stateDirs()).toEqual([]);
  });

  it('clears up on Ctrl-C in the middle of a boot', async () => {
    const child = spawn(process.execPath, NODE_ARGS, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    for await (const bytes of child.stdout as AsyncIterable<Buffer>) {
      output += bytes.toString();
      if (output.includes('console │') && !child.killed) child.kill('SIGINT');
    }
    if (child.exitCode === null) await once(child, 'exit');
    expect(output).toContain('SIGINT: clearing up');
    expect(output).not.toContain('its agent answers');
    expect(child.exitCode).toBe(130);
    expect(await stateDirs()).toEqual([]);
  });

  it('ends with code, message and remedy when the host lacks something', async () => {
    const failed = await run(process.execPath, NODE_ARGS, {
      env: {
        ...env,
        MICROVM_FIRECRACKER_BIN: '/nonexistent/firecracker',
        MICROVM_QEMU_PATH: '/nonexistent/qemu',
        MICROVM_DRIVER: undefined,
      },
    }).catch((error: unknown) => error as { code: number; stdout: string });
    expect(failed).toMatchObject({ code: 1 });
    expect(failed.stdout).toContain(
      '✖ MICROVM_HOST_UNSUPPORTED: no driver can run VMs on this host: firecracker:',
    );
    expect(failed.stdout).toContain('qemu: there is no "/nonexistent/qemu"');
    expect(failed.stdout).toContain('what to do:');
    expect(await stateDirs()).toEqual([]);
  });
});
