import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';
import { ROOT } from '../../setup/run.mjs';

/** Whether any process has this text among its arguments. */
async function isRunning(needle) {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  );
  return lines.some((line) => line.includes(needle));
}

test.skipIf(process.getuid() !== 0)(
  'killing whoever runs a program in namespaces ends all that is in there, and its mounts',
  async () => {
    const needle = `fresh-test-${process.pid}-${Date.now()}`;
    const script = `mount -t tmpfs ${needle} /mnt && (setsid sh -c 'while :; do sleep 1; done' ${needle} & ) && echo ready && sleep 3600`;
    const url = JSON.stringify(`file://${join(ROOT, 'tools', 'fresh', 'namespaces.mjs')}`);
    const code = `const { spawnInNamespaces } = await import(${url});
      spawnInNamespaces('sh', ['-c', ${JSON.stringify(script)}], { stdio: 'inherit' });`;
    const owner = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void owner.kill('SIGKILL'));
    const [line] = await once(createInterface({ input: owner.stdout }), 'line');
    expect(line).toBe('ready');
    expect(await isRunning(needle)).toBe(true);
    expect(await readFile('/proc/mounts', 'utf8')).not.toContain(needle);
    owner.kill('SIGKILL');
    await expect.poll(() => isRunning(needle)).toBe(false);
  },
);
